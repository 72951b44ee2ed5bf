/**
 * What gRPC's own tools ask of a server, by @grpc/grpc-js: reflection, out of which a client is made that had no `.proto` file, and health,
 * which is compared with a real etcd's.
 */
import { Client, type ClientDuplexStream, type ServiceError, credentials } from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer, loadSync } from "@grpc/proto-loader";
import type { MethodDefinition } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { delimitedField } from "../../core/api/v3/protobuf-codec.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { PROTO_FOLDER } from "../helpers/proto-folder.ts";
import { etcdVersion, startEtcd } from "../helpers/start-etcd.ts";
import { startQuorate } from "../helpers/start-quorate.ts";
import type { ServerProcess } from "../helpers/start-server.ts";

type Message = Record<string, unknown>;
type Methods = Readonly<Record<string, MethodDefinition<object, Message>>>;

const clients: Client[] = [];
const servers: ServerProcess[] = [];
let quorate: Client;

async function clientOf(starting: Promise<ServerProcess>): Promise<Client> {
  const server = await starting;
  servers.push(server);
  const client = new Client(new URL(server.url).host, credentials.createInsecure());
  clients.push(client);
  return client;
}

beforeAll(async () => {
  quorate = await clientOf(startQuorate());
});

afterAll(async () => {
  for (const client of clients) client.close();
  await Promise.all(servers.map((server) => server.stop()));
});

function unary(client: Client, { path, requestSerialize, responseDeserialize }: MethodDefinition<object, Message>, request: object) {
  return new Promise<Message>((resolve) =>
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error: ServiceError | null, reply?: Message) =>
      resolve(error === null ? reply! : { code: error.code, details: error.details }),
    ),
  );
}

/** The first reply of a call that streams, which is canceled then. */
function first(client: Client, { path, requestSerialize, responseDeserialize }: MethodDefinition<object, Message>, request: object) {
  return new Promise<Message>((resolve) => {
    const call: ClientDuplexStream<object, Message> = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    call.on("error", ({ code, details }: ServiceError) => resolve({ code, details }));
    call.on("data", (reply: Message) => {
      resolve(reply);
      call.cancel();
    });
    call.write(request);
  });
}

describe.each(["v1", "v1alpha"])("reflection %s", (version) => {
  const name = `grpc.reflection.${version}.ServerReflection`;
  const loaded = loadSync(`grpc/reflection/${version}/reflection.proto`, { includeDirs: [PROTO_FOLDER], keepCase: true });
  const { ServerReflectionInfo } = loaded[name] as Methods;
  const ask = (question: Message): Promise<Message> => first(quorate, ServerReflectionInfo!, question);

  test("is all that a client needs", async () => {
    const { list_services_response } = await ask({ list_services: "" });
    const { service } = list_services_response as { service: { name: string }[] };
    expect(service.map((one) => one.name)).toContain("etcdserverpb.KV");
    const { file_descriptor_response } = await ask({ file_containing_symbol: "etcdserverpb.KV" });
    const { file_descriptor_proto } = file_descriptor_response as { file_descriptor_proto: Buffer[] };
    const set = file_descriptor_proto.map((file) => delimitedField(1, file.toString("latin1") as Bytes)).join("");
    const { Put, Range } = loadFileDescriptorSetFromBuffer(Buffer.from(set, "latin1"), { bytes: String, longs: String })[
      "etcdserverpb.KV"
    ] as unknown as Methods;
    await unary(quorate, Put!, { key: Buffer.from("tool"), value: Buffer.from(version) });
    const { kvs } = await unary(quorate, Range!, { key: Buffer.from("tool") });
    expect(kvs).toMatchObject([{ value: Buffer.from(version).toString("base64") }]);
  });
});

describe("health", () => {
  const loaded = loadSync("grpc/health/v1/health.proto", { includeDirs: [PROTO_FOLDER], enums: String });
  const { Check, Watch } = loaded["grpc.health.v1.Health"] as Methods;
  const asked = async (client: Client): Promise<unknown> => [
    await unary(client, Check!, { service: "" }),
    await unary(client, Check!, { service: "etcdserverpb.KV" }),
    await first(client, Watch!, { service: "" }),
    await first(client, Watch!, { service: "etcdserverpb.KV" }),
  ];

  test("is told by one service", async () => {
    expect(await asked(quorate)).toEqual([
      { status: "SERVING" },
      { code: 5, details: "unknown service" },
      { status: "SERVING" },
      { status: "SERVICE_UNKNOWN" },
    ]);
  });

  test.skipIf(etcdVersion() === undefined)("is told as etcd does", async () => {
    expect(await asked(quorate)).toEqual(await asked(await clientOf(startEtcd())));
  });
});
