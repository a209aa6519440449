/** The files beside the page that the network needs, as `manifest.json` lists them; each is compared with it. */

import { SourceError } from "../sources/source.js";

/** @import { RequestParameter } from "../sources/source.js" */

/**
 * What `deploy/web/bundle` writes.
 *
 * @typedef {object} Manifest
 * @property {Record<string, {bytes: number, sha256: string}>} files
 * @property {string} network  names of files
 * @property {string} detector
 * @property {string} runtime
 * @property {string} runtime_webgpu
 * @property {string} name  of the network, as a server would list it
 * @property {string} precision
 * @property {string} notice
 * @property {Record<string, RequestParameter>} request_parameters
 */

const REMEDY = "`make web-bundle` makes it again";

export class Bundle {
  /**
   * @param {string} base  its folder's address
   * @param {(loaded: number) => void} onLoaded  called with the bytes that came since
   */
  constructor(base, onLoaded) {
    this.base = base;
    this.onLoaded = onLoaded;
    /** @type {Manifest | null} */
    this.read = null;
  }

  /** The manifest, once it was opened. */
  get manifest() {
    if (!this.read) throw new Error("the bundle was not opened");
    return this.read;
  }

  /**
   * Reads the manifest.
   * @throws {SourceError} where there is none, or none that can be read
   */
  async open() {
    const response = await this.#fetch("manifest.json");
    try {
      const manifest = /** @type {Manifest} */ (await response.json());
      const names = [manifest.network, manifest.detector, manifest.runtime];
      if (!names.every((name) => manifest.files[name])) throw new TypeError("it lacks a file's name");
      this.read = manifest;
    } catch (error) {
      throw damaged("its manifest can't be read", error);
    }
  }

  /** @param {string} name */
  url(name) {
    return new URL(name, this.base).href;
  }

  /** @param {string} name */
  bytes(name) {
    return this.manifest.files[name]?.bytes ?? 0;
  }

  /**
   * A file's bytes.
   * @param {string} name
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   * @throws {SourceError} where it is missing, or not what the manifest has
   */
  async file(name) {
    const expected = this.manifest.files[name];
    if (!expected) throw damaged(`its manifest has no ${name}`);
    const response = await this.#fetch(name);
    const file = new Uint8Array(expected.bytes);
    let at = 0;
    try {
      const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        if (at + part.value.length > file.length) throw damaged(`${name} is longer than its manifest has it`);
        file.set(part.value, at);
        at += part.value.length;
        this.onLoaded(part.value.length);
      }
    } catch (error) {
      if (error instanceof SourceError || error instanceof RangeError) throw error;
      throw unreachable(`the connection ended while ${name} was loaded: try again`, error);
    }
    if (at < file.length) throw damaged(`${name} is shorter than its manifest has it`);
    if (!(await isDigest(file, expected.sha256))) throw damaged(`${name} is not what its manifest has`);
    return file;
  }

  /** @param {string} name */
  async #fetch(name) {
    let response;
    try {
      response = await fetch(this.url(name), { referrerPolicy: "no-referrer", credentials: "same-origin" });
    } catch (error) {
      throw unreachable(`${name} of the browser's network can't be loaded: see whether the server runs`, error);
    }
    if (response.ok) return response;
    if (response.status === 404) throw damaged(`there is no ${name}`);
    throw unreachable(`${name} of the browser's network can't be loaded: status ${response.status}`);
  }
}

/**
 * @param {Uint8Array<ArrayBuffer>} file
 * @param {string} sha256  hexadecimal
 */
async function isDigest(file, sha256) {
  if (!globalThis.crypto?.subtle) return true; // a page that is not served securely has no digests
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", file));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}

/**
 * @param {string} fault
 * @param {unknown} [cause]
 */
function damaged(fault, cause) {
  return new SourceError(`the browser's network is not whole (${fault}): ${REMEDY}`, { reason: "bundle", cause });
}

/**
 * @param {string} sentence
 * @param {unknown} [cause]
 */
function unreachable(sentence, cause) {
  return new SourceError(sentence, { reason: "unreachable", cause });
}
