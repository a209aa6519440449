// Every face of a photo, with its answers: a client that knows a Q-Face server by its contract alone.
//
//     npm ci
//     npm start -- photo.jpg [host:port]
//
// Types are generated from the open V2 inference protocol (inference.proto). Tasks, labels and units come from
// the server; tensors are raw little-endian bytes, row by row.

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { ProtoGrpcType } from "./generated/inference.js";
import type { ModelConfigResponse__Output } from "./generated/inference/ModelConfigResponse.js";
import type { ModelInferResponse__Output } from "./generated/inference/ModelInferResponse.js";

type Row = (number | string)[]; // of a tensor: what it has of one face

interface Task {
  name: string;
  kind: string;
  labels: string[];
  unit: string;
}

interface Contract {
  hash: string;
  tasks: Task[];
}

/** The tensors of a kind of answer, and how one face's rows of them read. */
interface Kind {
  tensors: string[];
  describe(task: Task, ...rows: Row[]): string;
}

const MODEL = "photo_analysis";
const OUTSIDE = 255; // a mask's id where the crop shows nothing of the photo

const KINDS: Record<string, Kind> = {
  classes: {
    tensors: ["probabilities", "label"],
    describe: ({ labels }, probabilities = [], [label] = []) =>
      `${label} (${fixed(probabilities[labels.indexOf(String(label))], 3)})`,
  },
  multilabel: {
    tensors: ["probabilities", "active"],
    describe: ({ labels }, probabilities = [], active = []) =>
      labels.flatMap((label, i) => (active[i] ? `${label} (${fixed(probabilities[i], 3)})` : [])).join(", ") ||
      "none",
  },
  value: { tensors: ["value"], describe: ({ unit }, [value] = []) => `${fixed(value, 1)} ${unit}` },
  rotation: {
    tensors: ["angles"],
    describe: ({ labels }, row = []) => labels.map((label, i) => `${label} ${fixed(row[i], 1)}`).join(", "),
  },
  points: {
    tensors: ["points"],
    describe: ({ labels }, row = []) => `${labels.length} points, ${labels[0]} at ${list(row.slice(0, 2))}`,
  },
  mask: {
    tensors: ["runs", "map"], // runs of one class over the face's crop; `map` leads from there to the photo
    describe: ({ labels }, [runs] = []) => {
      const { size, counts } = JSON.parse(String(runs)) as { size: number[]; counts: [number, number][] };
      const ids = [...new Set(counts.map(([id]) => id))].filter((id) => id !== OUTSIDE).sort((a, b) => a - b);
      return `mask of [${size.join(", ")}] with ${ids.map((id) => labels[id]).join(", ")}`;
    },
  },
};

const fixed = (value: number | string | undefined, digits: number) => Number(value).toFixed(digits);
const list = (row: Row) => `[${row.map((value) => fixed(value, 1)).join(", ")}]`;

/** A tensor's rows, one for each element of its first axis. */
function decode(datatype: string, shape: number[], data: Buffer): Row[] {
  const flat: Row = [];
  for (let at = 0; at < data.length; ) {
    if (datatype === "BYTES") {
      const end = at + 4 + data.readUInt32LE(at); // each element: its length in 4 bytes, then its bytes
      flat.push(data.toString("utf8", at + 4, end));
      at = end;
    } else if (datatype === "FP32" || datatype === "INT32") {
      flat.push(datatype === "FP32" ? data.readFloatLE(at) : data.readInt32LE(at));
      at += 4;
    } else {
      flat.push(data.readUInt8(at)); // BOOL, UINT8
      at += 1;
    }
  }
  const [count = 0, ...rest] = shape;
  const width = rest.reduce((product, side) => product * side, 1);
  return Array.from({ length: count }, (_, i) => flat.slice(i * width, (i + 1) * width));
}

async function main(photo?: string, url = "localhost:8001"): Promise<void> {
  if (!photo) throw new Error("usage: npm start -- photo.jpg [host:port]");
  const data = await readFile(photo);
  const proto = fileURLToPath(new URL("../inference.proto", import.meta.url));
  const types = grpc.loadPackageDefinition(loadSync(proto, { keepCase: true, longs: Number, defaults: true }));
  const { GRPCInferenceService } = (types as unknown as ProtoGrpcType).inference;
  const unlimited = { "grpc.max_receive_message_length": -1 };
  const server = new GRPCInferenceService(url, grpc.credentials.createInsecure(), unlimited);
  const options = { deadline: Date.now() + 60_000 };
  try {
    const { config } = await new Promise<ModelConfigResponse__Output>((resolve, reject) =>
      server.ModelConfig({ name: MODEL }, options, (error, reply) => (reply ? resolve(reply) : reject(error))),
    );
    const stated = config?.parameters["contract"]?.string_value;
    if (!stated) throw new Error(`${MODEL} at ${url} states no contract: is it a Q-Face server?`);
    const contract = JSON.parse(stated) as Contract;
    const asked = contract.tasks.flatMap((task) => {
      const kind = KINDS[task.kind]; // none: a newer server has kinds that are not known here
      return kind ? [{ task, kind, names: kind.tensors.map((tensor) => `${task.name}_${tensor}`) }] : [];
    });
    const outputs = [...asked.flatMap(({ names }) => names), "boxes", "scores", "contract"];
    const request = {
      model_name: MODEL,
      inputs: [{ name: "image", datatype: "UINT8", shape: [data.length] }],
      outputs: outputs.map((name) => ({ name })),
      raw_input_contents: [data],
    };
    const answer = await new Promise<ModelInferResponse__Output>((resolve, reject) =>
      server.ModelInfer(request, options, (error, reply) => (reply ? resolve(reply) : reject(error))),
    );
    const tensors: Record<string, Row[]> = {};
    for (const [i, { name, datatype, shape }] of answer.outputs.entries()) {
      tensors[name] = decode(datatype, shape, answer.raw_output_contents[i]!);
    }
    if (tensors["contract"]?.[0]?.[0] !== contract.hash) {
      throw new Error("the server's contract changed between the two calls: run this again");
    }
    const { boxes = [], scores = [] } = tensors;
    if (!boxes.length) console.log("no face");
    for (const [face, box] of boxes.entries()) {
      console.log(`face ${face + 1}: box ${list(box)}, score ${fixed(scores[face]?.[0], 3)}`);
      for (const { task, kind, names } of asked) {
        console.log(`  ${task.name}: ${kind.describe(task, ...names.map((name) => tensors[name]![face]!))}`);
      }
    }
  } finally {
    server.close();
  }
}

main(...process.argv.slice(2)).catch((error: Error & Partial<grpc.ServiceError>) => {
  const words = error.details === undefined ? error.message : `${grpc.status[error.code!]}: ${error.details}`;
  console.error(words.replace(/\s+/g, " "));
  process.exitCode = 1;
});
