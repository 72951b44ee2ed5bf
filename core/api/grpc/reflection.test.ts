import { loadFileDescriptorSetFromBuffer } from "@grpc/proto-loader";
import { describe, expect, test } from "vitest";
import { delimitedField, protobufDecoder, protobufEncoder } from "../v3/protobuf-codec.ts";
import type { Bytes } from "../../bytes/bytes.ts";
import type { Call, InTurnMethod } from "../v3/services.ts";
import { servedServices } from "../../../test/helpers/served-services.ts";

type Fields = Record<string, unknown>;

const services = servedServices();

function reflection(version: string) {
  const service = services.find(({ name }) => name === `grpc.reflection.${version}.ServerReflection`)!;
  const method = service.methods[0] as InTurnMethod<unknown, Fields>;
  const decode = protobufDecoder(method.reply);
  /** By way of the wire: what is not encoded is not answered. */
  return async (question: Fields): Promise<Fields> => {
    const request = { ...(method.request.defaults as object), host: "h", ...question };
    return decode(protobufEncoder(method.reply)(await method.call(request, {} as Call)));
  };
}

const filesOf = (answer: Fields) => (answer["fileDescriptorResponse"] as { fileDescriptorProto: Bytes[] }).fileDescriptorProto;

describe.each(["v1", "v1alpha"])("reflection %s", (version) => {
  const ask = reflection(version);

  test("lists every service, itself included", async () => {
    const answer = await ask({ listServices: "*" });
    expect(answer).toMatchObject({ validHost: "h", originalRequest: { host: "h", listServices: "*" } });
    const { service } = answer["listServicesResponse"] as { service: { name: string }[] };
    expect(service.map(({ name }) => name)).toEqual(services.map(({ name }) => name).toSorted());
  });

  test("gives for each service files from which a client can be made without anything else", async () => {
    for (const { name, methods } of services) {
      const set = filesOf(await ask({ fileContainingSymbol: name })).map((file) => delimitedField(1, file));
      const loaded = loadFileDescriptorSetFromBuffer(Buffer.from(set.join(""), "latin1"));
      expect(Object.keys(loaded[name] ?? {})).toEqual(methods.map((method) => method.name));
    }
  });

  test.each([
    "etcdserverpb.KV.Put",
    "etcdserverpb.PutRequest",
    "etcdserverpb.PutRequest.prev_kv",
    "etcdserverpb.RangeRequest.SortOrder",
    "etcdserverpb.AlarmType",
  ])("finds %s", async (symbol) => {
    const byName = await ask({ fileByFilename: "etcdserverpb/rpc.proto" });
    expect(filesOf(await ask({ fileContainingSymbol: symbol }))).toEqual(filesOf(byName));
    expect(filesOf(byName)).toHaveLength(3);
  });

  test.each([
    { fileByFilename: "no.proto" },
    { fileContainingSymbol: "etcdserverpb.Nothing" },
    { fileContainingExtension: { containingType: "etcdserverpb.PutRequest", extensionNumber: 1 } },
    { allExtensionNumbersOfType: "etcdserverpb.KV" },
  ])("answers that it does not know %j", async (question) => {
    expect(await ask(question)).toMatchObject({ errorResponse: { errorCode: 5 }, fileDescriptorResponse: null });
  });

  test("knows messages without extensions", async () => {
    const answer = await ask({ allExtensionNumbersOfType: "etcdserverpb.PutRequest" });
    expect(answer["allExtensionNumbersResponse"]).toEqual({ baseTypeName: "etcdserverpb.PutRequest", extensionNumber: [] });
  });

  test("refuses a request that asks nothing, and names the field", async () => {
    await expect(ask({})).rejects.toMatchObject({ code: "invalidArgument", message: expect.stringContaining("message_request") });
  });
});
