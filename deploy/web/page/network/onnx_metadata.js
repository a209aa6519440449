/**
 * The metadata of an ONNX file: `metadata_props` of its ModelProto, read without a protobuf library.
 *
 * A protobuf message is a sequence of fields: a varint with number and wire type, then the value. Of a ModelProto
 * field 14 is a StringStringEntryProto, whose fields 1 and 2 are key and value. All others are skipped, the graph
 * (nearly all of the file) at once.
 */

const METADATA_PROPS = 14;
const KEY = 1;
const VALUE = 2;

const VARINT = 0;
const EIGHT_BYTES = 1;
const LENGTH = 2;
const FOUR_BYTES = 5;

/**
 * @param {Uint8Array} model  a whole ONNX file
 * @returns {Map<string, string>} the entries by their keys
 * @throws {RangeError} for bytes that are no protobuf message
 */
export function readMetadata(model) {
  const metadata = new Map();
  for (const { number, bytes } of fields(model)) {
    if (number !== METADATA_PROPS || !bytes) continue;
    const entry = new Map(Array.from(fields(bytes), (field) => [field.number, field.bytes]));
    metadata.set(text(entry.get(KEY)), text(entry.get(VALUE)));
  }
  return metadata;
}

/** @param {Uint8Array | null | undefined} bytes */
function text(bytes) {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes ?? new Uint8Array());
}

/**
 * @param {Uint8Array} message
 * @returns {Generator<{number: number, bytes: Uint8Array | null}>} `bytes`: of a field that has a length
 */
function* fields(message) {
  let at = 0;
  while (at < message.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (wireType === VARINT) {
      varint();
      yield { number, bytes: null };
    } else if (wireType === LENGTH) {
      yield { number, bytes: take(varint()) };
    } else if (wireType === EIGHT_BYTES || wireType === FOUR_BYTES) {
      take(wireType === EIGHT_BYTES ? 8 : 4);
      yield { number, bytes: null };
    } else {
      throw new RangeError(`byte ${at} begins no protobuf field`);
    }
  }

  /** @returns {number} */
  function varint() {
    let value = 0;
    for (let digit = 1; digit <= 128 ** 9; digit *= 128) {
      const byte = take(1)[0];
      value += (byte & 127) * digit; // by arithmetic, as lengths may have more than 32 bits
      if (byte < 128) return value;
    }
    throw new RangeError(`the number before byte ${at} has no end`);
  }

  /** @param {number} count */
  function take(count) {
    if (at + count > message.length) throw new RangeError(`a field runs over the end at byte ${at}`);
    at += count;
    return message.subarray(at - count, at);
  }
}
