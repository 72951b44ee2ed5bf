/**
 * What describes messages and services to programs: the messages of protobuf's own descriptors, as far as this API needs them.
 * Their enumerations begin at 1, which tables do not know, so kinds and labels stand here as numbers.
 * Source: names and numbers of google/protobuf/descriptor.proto.
 */
import { type MessageTable, bool, int32, many, message, oneOf, repeated, string } from "../v3/message-table.ts";

/** Of `FieldDescriptor.type`. */
export const FIELD_TYPE = { int64: 3, uint64: 4, int32: 5, bool: 8, string: 9, message: 11, bytes: 12, uint32: 13, enum: 14 } as const;

/** Of `FieldDescriptor.label`. */
export const LABEL = { optional: 1, repeated: 3 } as const;

export interface FieldDescriptor {
  readonly name: string;
  readonly number: number;
  readonly label: number;
  readonly type: number;
  /** Of messages and enumerations, from the root: `.mvccpb.KeyValue`. */
  readonly typeName: string;
  /** Of its group in the message's list, null for none. */
  readonly oneofIndex: number | null;
  readonly jsonName: string;
}
/** Numbers that may be zero are written in any case: readers of proto2 tell zero from unset. */
const given = (name: string, number: number) => oneOf(`_${name}`, int32(name, number));

const FIELD: MessageTable<FieldDescriptor> = message("google.protobuf.FieldDescriptorProto", {
  name: string("name", 1),
  number: int32("number", 3),
  label: int32("label", 4),
  type: int32("type", 5),
  typeName: string("type_name", 6),
  oneofIndex: given("oneof_index", 9),
  jsonName: string("json_name", 10),
});

export interface EnumValueDescriptor {
  readonly name: string;
  readonly number: number | null;
}
const ENUM_VALUE: MessageTable<EnumValueDescriptor> = message("google.protobuf.EnumValueDescriptorProto", {
  name: string("name", 1),
  number: given("number", 2),
});

export interface EnumDescriptor {
  readonly name: string;
  readonly value: readonly EnumValueDescriptor[];
}
const ENUM: MessageTable<EnumDescriptor> = message("google.protobuf.EnumDescriptorProto", {
  name: string("name", 1),
  value: many(() => ENUM_VALUE, "value", 2),
});

export interface OneofDescriptor {
  readonly name: string;
}
const ONEOF: MessageTable<OneofDescriptor> = message("google.protobuf.OneofDescriptorProto", { name: string("name", 1) });

export interface MessageDescriptor {
  readonly name: string;
  readonly field: readonly FieldDescriptor[];
  readonly enumType: readonly EnumDescriptor[];
  readonly oneofDecl: readonly OneofDescriptor[];
}
const MESSAGE: MessageTable<MessageDescriptor> = message("google.protobuf.DescriptorProto", {
  name: string("name", 1),
  field: many(() => FIELD, "field", 2),
  enumType: many(() => ENUM, "enum_type", 4),
  oneofDecl: many(() => ONEOF, "oneof_decl", 8),
});

export interface MethodDescriptor {
  readonly name: string;
  readonly inputType: string;
  readonly outputType: string;
  readonly clientStreaming: boolean;
  readonly serverStreaming: boolean;
}
const METHOD: MessageTable<MethodDescriptor> = message("google.protobuf.MethodDescriptorProto", {
  name: string("name", 1),
  inputType: string("input_type", 2),
  outputType: string("output_type", 3),
  clientStreaming: bool("client_streaming", 5),
  serverStreaming: bool("server_streaming", 6),
});

export interface ServiceDescriptor {
  readonly name: string;
  readonly method: readonly MethodDescriptor[];
}
const SERVICE: MessageTable<ServiceDescriptor> = message("google.protobuf.ServiceDescriptorProto", {
  name: string("name", 1),
  method: many(() => METHOD, "method", 2),
});

/** One `.proto` file. */
export interface FileDescriptor {
  /** Its path, as others import it. */
  readonly name: string;
  readonly package: string;
  /** Paths of the files whose types it uses. */
  readonly dependency: readonly string[];
  readonly messageType: readonly MessageDescriptor[];
  readonly enumType: readonly EnumDescriptor[];
  readonly service: readonly ServiceDescriptor[];
  readonly syntax: string;
}
export const FILE: MessageTable<FileDescriptor> = message("google.protobuf.FileDescriptorProto", {
  name: string("name", 1),
  package: string("package", 2),
  dependency: repeated(string("dependency", 3)),
  messageType: many(() => MESSAGE, "message_type", 4),
  enumType: many(() => ENUM, "enum_type", 5),
  service: many(() => SERVICE, "service", 6),
  syntax: string("syntax", 12),
});
