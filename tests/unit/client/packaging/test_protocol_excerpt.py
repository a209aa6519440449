"""The part of the V2 protocol that the client in TypeScript is generated from is the protocol's own."""

import re

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2

from tests.helpers.typescript import SOURCE

TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_BYTES: "bytes",
}
FIELD = re.compile(r"(?P<type>(?:repeated )?[\w<>, ]+) (?P<name>\w+) = (?P<number>\d+);")


def type_of(field: FieldDescriptor) -> str:
    """A field's type as a .proto file spells it."""
    if field.message_type is None:
        name = TYPES[field.type]
    elif field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name
        return f"map<{type_of(entry['key'])}, {type_of(entry['value'])}>"
    else:
        name = field.message_type.name
    return f"repeated {name}" if field.is_repeated else name


def test_its_messages_have_the_protocols_names_numbers_and_types() -> None:
    inside: list[Descriptor] = []
    fields = 0
    for line in map(str.strip, (SOURCE / "inference.proto").read_text().splitlines()):
        if message := re.fullmatch(r"message (\w+) \{", line):
            nested = inside[-1].nested_types_by_name if inside else None
            inside.append(nested[message[1]] if nested else descriptor(message[1]))
        elif line == "}" and inside:
            inside.pop()
        elif field := FIELD.fullmatch(line):
            known = inside[-1].fields_by_name[field["name"]]
            assert (known.number, type_of(known)) == (int(field["number"]), field["type"])
            fields += 1
    assert not inside
    assert fields == 17


def descriptor(name: str) -> Descriptor:
    """A message of the protocol."""
    files = (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)
    return next(file.message_types_by_name[name] for file in files if name in file.message_types_by_name)


def test_its_calls_are_the_services_own() -> None:
    text = (SOURCE / "inference.proto").read_text()
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    calls = re.findall(r"rpc (\w+)\((\w+)\) returns \((\w+)\);", text)
    assert len(calls) == 2
    for name, request, reply in calls:
        method = service.methods_by_name[name]
        assert (method.input_type.name, method.output_type.name) == (request, reply)
    assert f"package {service_pb2.DESCRIPTOR.package};" in text
    assert f"service {service.name} {{" in text
