/**
 * gRPC server reflection: clients without `.proto` files (grpcurl, grpcui, Postman) ask the server what it serves. Versions v1 and v1alpha
 * are the same but for their names. Files come with all that they depend on, those asked for first.
 * Source: https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { CODES, errBadField } from "../../errors.ts";
import { type MessageTable, bytes, int32, many, message, one, oneOf, repeated, string } from "../v3/message-table.ts";
import { protobufEncoder } from "../v3/protobuf-codec.ts";
import { type Service, erased } from "../v3/services.ts";
import { FILE, type FileDescriptor } from "./descriptor-messages.ts";
import { describe } from "./describe.ts";

const VERSIONS = ["v1", "v1alpha"] as const;

interface ExtensionRequest {
  readonly containingType: string;
  readonly extensionNumber: number;
}

/** At most one beside the host is set. */
interface ReflectionRequest {
  readonly host: string;
  readonly fileByFilename: string | null;
  readonly fileContainingSymbol: string | null;
  readonly fileContainingExtension: ExtensionRequest | null;
  readonly allExtensionNumbersOfType: string | null;
  readonly listServices: string | null;
}

interface ReflectionResponse {
  readonly validHost: string;
  readonly originalRequest: ReflectionRequest | null;
  readonly fileDescriptorResponse: { readonly fileDescriptorProto: readonly Bytes[] } | null;
  readonly allExtensionNumbersResponse: { readonly baseTypeName: string; readonly extensionNumber: readonly number[] } | null;
  readonly listServicesResponse: { readonly service: readonly { readonly name: string }[] } | null;
  readonly errorResponse: { readonly errorCode: number; readonly errorMessage: string } | null;
}

type Answer = Partial<Pick<ReflectionResponse, Exclude<keyof ReflectionResponse, "validHost" | "originalRequest">>>;

/** @param services all others that are served @returns one for each version; they describe themselves too */
export function reflectionServices(services: readonly Service[]): Service[] {
  const call = (request: ReflectionRequest): Promise<ReflectionResponse> => Promise.resolve(catalogue.reply(request));
  const own = VERSIONS.map((version): Service => {
    const { request, reply } = messagesOf(`grpc.reflection.${version}`);
    const method = erased({ kind: "inTurn", name: "ServerReflectionInfo", paths: [], request, reply, call });
    return { name: `grpc.reflection.${version}.ServerReflection`, methods: [method] };
  });
  const catalogue = new Catalogue([...services, ...own]);
  return own;
}

function messagesOf(name: string): { request: MessageTable<ReflectionRequest>; reply: MessageTable<ReflectionResponse> } {
  const extension: MessageTable<ExtensionRequest> = message(`${name}.ExtensionRequest`, {
    containingType: string("containing_type", 1),
    extensionNumber: int32("extension_number", 2),
  });
  const request: MessageTable<ReflectionRequest> = message(`${name}.ServerReflectionRequest`, {
    host: string("host", 1),
    fileByFilename: oneOf("message_request", string("file_by_filename", 3)),
    fileContainingSymbol: oneOf("message_request", string("file_containing_symbol", 4)),
    fileContainingExtension: one(() => extension, "file_containing_extension", 5, { oneOf: "message_request" }),
    allExtensionNumbersOfType: oneOf("message_request", string("all_extension_numbers_of_type", 6)),
    listServices: oneOf("message_request", string("list_services", 7)),
  });
  const files = message<{ fileDescriptorProto: readonly Bytes[] }>(`${name}.FileDescriptorResponse`, {
    fileDescriptorProto: repeated(bytes("file_descriptor_proto", 1)),
  });
  const numbers = message<{ baseTypeName: string; extensionNumber: readonly number[] }>(`${name}.ExtensionNumberResponse`, {
    baseTypeName: string("base_type_name", 1),
    extensionNumber: repeated(int32("extension_number", 2)),
  });
  const service = message<{ name: string }>(`${name}.ServiceResponse`, { name: string("name", 1) });
  const list = message<{ service: readonly { name: string }[] }>(`${name}.ListServiceResponse`, {
    service: many(() => service, "service", 1),
  });
  const error = message<{ errorCode: number; errorMessage: string }>(`${name}.ErrorResponse`, {
    errorCode: int32("error_code", 1),
    errorMessage: string("error_message", 2),
  });
  const reply: MessageTable<ReflectionResponse> = message(`${name}.ServerReflectionResponse`, {
    validHost: string("valid_host", 1),
    originalRequest: one(() => request, "original_request", 2),
    fileDescriptorResponse: one(() => files, "file_descriptor_response", 4, { oneOf: "message_response" }),
    allExtensionNumbersResponse: one(() => numbers, "all_extension_numbers_response", 5, { oneOf: "message_response" }),
    listServicesResponse: one(() => list, "list_services_response", 6, { oneOf: "message_response" }),
    errorResponse: one(() => error, "error_response", 7, { oneOf: "message_response" }),
  });
  return { request, reply };
}

/** What is served, to be found by file, service, message and so on. */
class Catalogue {
  readonly #files: ReadonlyMap<string, FileDescriptor>;
  readonly #services: readonly { readonly name: string }[];
  /** Full names of services, methods, messages, fields and enumerations. */
  readonly #fileOf = new Map<string, string>();
  readonly #messages = new Set<string>();
  readonly #encode = protobufEncoder(FILE);

  constructor(services: readonly Service[]) {
    this.#files = describe(services);
    this.#services = services.map(({ name }) => ({ name })).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const file of this.#files.values()) this.#add(file);
  }

  #add(file: FileDescriptor): void {
    const add = (...names: readonly string[]): string => {
      const name = names.join(".");
      this.#fileOf.set(name, file.name);
      return name;
    };
    for (const { name } of file.enumType) add(file.package, name);
    for (const { name, field, enumType } of file.messageType) {
      this.#messages.add(add(file.package, name));
      for (const inner of [...field, ...enumType]) add(file.package, name, inner.name);
    }
    for (const { name, method } of file.service) {
      add(file.package, name);
      for (const inner of method) add(file.package, name, inner.name);
    }
  }

  /** @throws QuorateError badField */
  reply(request: ReflectionRequest): ReflectionResponse {
    return {
      validHost: request.host,
      originalRequest: request,
      fileDescriptorResponse: null,
      allExtensionNumbersResponse: null,
      listServicesResponse: null,
      errorResponse: null,
      ...this.#answer(request),
    };
  }

  #answer(request: ReflectionRequest): Answer {
    const { fileByFilename, fileContainingSymbol, fileContainingExtension, allExtensionNumbersOfType, listServices } = request;
    if (fileByFilename !== null) return this.#withDependencies(fileByFilename) ?? notFound(`file ${fileByFilename} is not known`);
    if (fileContainingSymbol !== null) {
      const path = this.#fileOf.get(fileContainingSymbol);
      return (path === undefined ? null : this.#withDependencies(path)) ?? notFound(`symbol ${fileContainingSymbol} is not known`);
    }
    if (fileContainingExtension !== null) return notFound(`${fileContainingExtension.containingType} has no extensions`);
    if (allExtensionNumbersOfType !== null) {
      if (!this.#messages.has(allExtensionNumbersOfType)) return notFound(`message ${allExtensionNumbersOfType} is not known`);
      return { allExtensionNumbersResponse: { baseTypeName: allExtensionNumbersOfType, extensionNumber: [] } };
    }
    if (listServices !== null) return { listServicesResponse: { service: this.#services } };
    throw errBadField("message_request", "quorate: message_request is not set: nothing is asked");
  }

  #withDependencies(path: string): Answer | null {
    const wanted = new Set([path]);
    const fileDescriptorProto: Bytes[] = [];
    for (const next of wanted) {
      const file = this.#files.get(next);
      if (file === undefined) return null;
      fileDescriptorProto.push(this.#encode(file));
      for (const dependency of file.dependency) wanted.add(dependency); // grows while it is gone through
    }
    return { fileDescriptorResponse: { fileDescriptorProto } };
  }
}

function notFound(errorMessage: string): Answer {
  return { errorResponse: { errorCode: CODES.notFound, errorMessage } };
}
