/**
 * The `.proto` files in `adapters/grpc/proto`, printed from what is served: `npm run proto` writes them anew, and a test compares them.
 * They are for people and for makers of clients; the server itself reads none.
 */
import {
  type EnumDescriptor,
  FIELD_TYPE,
  type FieldDescriptor,
  type FileDescriptor,
  LABEL,
  type MessageDescriptor,
  type MethodDescriptor,
} from "../../core/api/grpc/descriptor-messages.ts";
import { describe } from "../../core/api/grpc/describe.ts";
import type { Service } from "../../core/api/v3/services.ts";

const HEAD =
  "// Made from the tables in core/api by `npm run proto`; a test compares them. Names and numbers are those of etcd 3.4 and of gRPC.";

const TYPE_NAMES = new Map<number, string>(Object.entries(FIELD_TYPE).map(([name, number]) => [number, name]));

/** @returns the text of each file, by its path below `adapters/grpc/proto`, as other files import it */
export function protoFiles(services: readonly Service[]): ReadonlyMap<string, string> {
  const paths = new Map(services.flatMap(({ name, methods }) => methods.map((method) => [`${name}.${method.name}`, method.paths[0]])));
  return new Map([...describe(services)].map(([path, file]) => [path, fileText(file, paths)]));
}

/** @param gatewayPaths by full name of the method; undefined for those that are served over gRPC alone */
function fileText(file: FileDescriptor, gatewayPaths: ReadonlyMap<string, string | undefined>): string {
  const parts = [HEAD, `syntax = "proto3";`, `package ${file.package};`];
  if (file.dependency.length > 0) parts.push(file.dependency.map((path) => `import "${path}";`).join("\n"));
  for (const { name, method } of file.service) {
    const lines = method.flatMap((one) => {
      const path = gatewayPaths.get(`${file.package}.${name}.${one.name}`);
      const rpc = methodText(one, file.package);
      return path === undefined ? [rpc] : [`// POST /v3${path}`, rpc];
    });
    parts.push(block(`service ${name}`, lines));
  }
  parts.push(...file.enumType.map(enumText), ...file.messageType.map((message) => messageText(message, file.package)));
  return parts.join("\n\n") + "\n";
}

function methodText({ name, inputType, outputType, clientStreaming, serverStreaming }: MethodDescriptor, packageName: string): string {
  const side = (streaming: boolean, type: string): string => `(${streaming ? "stream " : ""}${shortName(type, packageName)})`;
  return `rpc ${name}${side(clientStreaming, inputType)} returns ${side(serverStreaming, outputType)};`;
}

function messageText({ name, field, enumType, oneofDecl }: MessageDescriptor, packageName: string): string {
  const scope = `${packageName}.${name}`;
  const lines = enumType.flatMap((one) => enumText(one).split("\n"));
  for (const [at, one] of field.entries()) {
    const { oneofIndex } = one;
    if (oneofIndex === null) lines.push(fieldText(one, scope, packageName));
    else if (field[at - 1]?.oneofIndex !== oneofIndex) {
      const members = field.filter((other) => other.oneofIndex === oneofIndex).map((other) => fieldText(other, scope, packageName));
      lines.push(...block(`oneof ${oneofDecl[oneofIndex]!.name}`, members).split("\n"));
    }
  }
  return block(`message ${name}`, lines);
}

function fieldText({ name, number, label, type, typeName }: FieldDescriptor, ...scopes: string[]): string {
  const typeText = typeName === "" ? TYPE_NAMES.get(type) : shortName(typeName, ...scopes);
  return `${label === LABEL.repeated ? "repeated " : ""}${typeText} ${name} = ${number};`;
}

function enumText({ name, value }: EnumDescriptor): string {
  return block(
    `enum ${name}`,
    value.map((one) => `${one.name} = ${one.number};`),
  );
}

/** The name as it may stand within one of the scopes, the innermost first. @param name from the root: `.mvccpb.KeyValue` */
function shortName(name: string, ...scopes: string[]): string {
  const scope = scopes.find((one) => name.startsWith(`.${one}.`));
  return scope === undefined ? name.slice(1) : name.slice(scope.length + 2);
}

function block(head: string, lines: readonly string[]): string {
  return lines.length === 0 ? `${head} {}` : [`${head} {`, ...lines.map((line) => `  ${line}`), "}"].join("\n");
}
