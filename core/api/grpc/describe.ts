/**
 * Services and their messages as `.proto` files describe them, made of the tables that serve them: reflection answers with these, and the
 * files that come with the package are printed from them. One file a package, with what the services need and no more.
 *
 * An enumeration that is called `Range_Order` in the tables is the enumeration `Order` inside the message `Range`: that is how etcd's
 * errors spell it.
 */
import { must } from "../../invariant.ts";
import { type EnumTable, type Field, type MessageTable } from "../v3/message-table.ts";
import type { Method, Service } from "../v3/services.ts";
import {
  type EnumDescriptor,
  FIELD_TYPE,
  type FieldDescriptor,
  type FileDescriptor,
  LABEL,
  type MessageDescriptor,
  type MethodDescriptor,
  type OneofDescriptor,
  type ServiceDescriptor,
} from "./descriptor-messages.ts";

/** By package. Those of etcd have the last part of the path that they have in etcd's sources. */
const PATHS: Readonly<Record<string, string>> = {
  etcdserverpb: "etcdserverpb/rpc.proto",
  mvccpb: "mvccpb/kv.proto",
  authpb: "authpb/auth.proto",
  v3lockpb: "v3lockpb/v3lock.proto",
  v3electionpb: "v3electionpb/v3election.proto",
  "grpc.health.v1": "grpc/health/v1/health.proto",
  "grpc.reflection.v1": "grpc/reflection/v1/reflection.proto",
  "grpc.reflection.v1alpha": "grpc/reflection/v1alpha/reflection.proto",
};

/** A file as it grows. */
interface Draft extends FileDescriptor {
  readonly dependency: string[];
  readonly messageType: MessageDraft[];
  readonly enumType: EnumDescriptor[];
  readonly service: ServiceDescriptor[];
}

interface MessageDraft extends MessageDescriptor {
  readonly field: FieldDescriptor[];
  readonly enumType: EnumDescriptor[];
  readonly oneofDecl: OneofDescriptor[];
}

/** @returns the files that the services and all their messages are in, by path; in the order of the services */
export function describe(services: readonly Service[]): ReadonlyMap<string, FileDescriptor> {
  const describer = new Describer();
  for (const service of services) describer.service(service);
  return describer.files;
}

class Describer {
  readonly files = new Map<string, Draft>();
  readonly #messages = new Map<string, MessageDraft>();

  service({ name, methods }: Service): void {
    const file = this.#file(packageOf(name));
    file.service.push({ name: simpleName(name), method: methods.map((method) => this.#method(method, file)) });
  }

  #method({ name, request, reply, kind }: Method, file: Draft): MethodDescriptor {
    for (const table of [request, reply]) this.#message(table as MessageTable<unknown>, file);
    const clientStreaming = kind === "inTurn" || kind === "watch";
    const serverStreaming = clientStreaming || kind === "serverStream";
    return { name, inputType: `.${request.name}`, outputType: `.${reply.name}`, clientStreaming, serverStreaming };
  }

  /** @param user the file that uses it */
  #message(table: MessageTable<unknown>, user: Draft): void {
    const file = this.#file(packageOf(table.name), user);
    if (this.#messages.has(table.name)) return;
    const described: MessageDraft = { name: simpleName(table.name), field: [], enumType: [], oneofDecl: [] };
    this.#messages.set(table.name, described);
    file.messageType.push(described);
    for (const field of table.fields) described.field.push(this.#field(field, described, file));
  }

  #field(field: Field, { oneofDecl }: MessageDraft, file: Draft): FieldDescriptor {
    const { name, number, jsonName, oneOf } = field;
    if (oneOf !== null && !oneofDecl.some((group) => group.name === oneOf)) oneofDecl.push({ name: oneOf });
    const oneofIndex = oneOf === null ? null : oneofDecl.findIndex((group) => group.name === oneOf);
    const label = field.repeated ? LABEL.repeated : LABEL.optional;
    return { name, number, label, type: typeOf(field), typeName: this.#typeName(field, file), oneofIndex, jsonName };
  }

  #typeName({ enumeration, message }: Field, file: Draft): string {
    if (enumeration !== null) return this.#enum(enumeration, file);
    if (message === null) return "";
    const table = message() as MessageTable<unknown>;
    this.#message(table, file);
    return `.${table.name}`;
  }

  #enum({ name, values }: EnumTable, user: Draft): string {
    const [outer, inner] = simpleName(name).split("_") as [string, string?];
    const packageName = packageOf(name);
    const within =
      inner === undefined
        ? this.#file(packageName, user)
        : must(this.#messages.get(`${packageName}.${outer}`), () => `${name} is not in a message`);
    const simple = inner ?? outer;
    if (!within.enumType.some((one) => one.name === simple)) {
      within.enumType.push({ name: simple, value: values.map((value, number) => ({ name: value, number })) });
    }
    return inner === undefined ? `.${name}` : `.${packageName}.${outer}.${inner}`;
  }

  /** @param user if it is another file, it depends on this one */
  #file(packageName: string, user?: Draft): Draft {
    const path = must(PATHS[packageName], () => `package ${packageName} has no file`);
    let file = this.files.get(path);
    if (file === undefined) {
      file = { name: path, package: packageName, dependency: [], messageType: [], enumType: [], service: [], syntax: "proto3" };
      this.files.set(path, file);
    }
    if (user !== undefined && user !== file && !user.dependency.includes(path)) user.dependency.push(path);
    return file;
  }
}

function typeOf({ kind }: Field): number {
  if (kind === "int64Text") return FIELD_TYPE.int64;
  return kind === "uint64Text" ? FIELD_TYPE.uint64 : FIELD_TYPE[kind];
}

/** `grpc.health.v1` of `grpc.health.v1.Health`. */
const packageOf = (name: string): string => name.slice(0, name.lastIndexOf("."));
const simpleName = (name: string): string => name.slice(name.lastIndexOf(".") + 1);
