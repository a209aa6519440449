/**
 * The seam between the page and whatever answers photos: a server (`server.js`) or a network in this browser
 * (`browser.js`). Both answer with the same JSON, so that nothing else of the page knows which one it was.
 *
 * @typedef {object} Task  one entry of the contract
 * @property {string} name
 * @property {string} kind  which module of `kinds/` shows its answers
 * @property {string[]} labels
 * @property {string} unit
 * @property {number} [threshold]  of a kind that has one: from which probability on a label is present
 * @property {boolean} [default]  false: answered only where it is asked for by name
 * @property {{task: string, indices: (number | null)[]}} [visible_points]  whose points its labels are about
 * @property {{unit: string, within: [number, number][]}} [error]  how the expected errors of its answers are read:
 *   the share p of the true values lies within f times the expected error, for each [p, f]
 *
 * @typedef {object} RequestParameter  in the words of JSON Schema
 * @property {"number" | "integer"} type
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {number} [default]
 * @property {string} [description]
 *
 * @typedef {object} Description  as `GET /v1/tasks` answers it
 * @property {string} contract  the contract's hash
 * @property {number} version  of the contract's form
 * @property {number} input_size  side of a face's crop, in pixels
 * @property {Task[]} tasks
 * @property {{task: string, label: string, minimum: number}} [quality]  which answer is a face's quality
 * @property {string[]} models
 * @property {string} precision  in which the network computes; "": not stated
 * @property {string} notice  what people in the pictures are to be informed of; "": none
 * @property {Record<string, RequestParameter>} request_parameters
 *
 * @typedef {object} Face  `box` and `score`, an answer by each task's name, and by `T_error` the expected error of
 *   an answer, where it is stated
 * @property {[number, number, number, number]} box  x0, y0, x1, y1 in the photo's pixels
 * @property {number} score  the detector's, in [0, 1]
 * @property {number} [quality]  the probability that the face can be analysed at all, where it is stated
 *
 * @typedef {object} Answer  the JSON of `POST /v1/analyze`
 * @property {number} width  of the upright photo, in pixels
 * @property {number} height
 * @property {number} faces_found
 * @property {number} [faces_below_quality]  how many faces are left out by their quality, where it is stated
 * @property {number} smallest_face  in pixels: clearly smaller faces were not looked for
 * @property {(Face & Record<string, unknown>)[]} faces  best score first
 *
 * @typedef {object} Timing  a part of the time from the call to the answer; the parts do not overlap
 * @property {string} name
 * @property {number} ms
 *
 * @typedef {object} Request
 * @property {string[] | null} tasks  names; null: all that are answered by default
 * @property {Record<string, number>} parameters  of `request_parameters`, those that were set
 * @property {AbortSignal} signal  ends the call with the signal's reason
 *
 * @typedef {object} Source
 * @property {() => Promise<Description>} describe  SourceError where it can't; asked again, it looks again
 * @property {(photo: Blob, request: Request) => Promise<{answer: Answer, timings: Timing[]}>} analyze
 *   SourceError for a photo that gets no answer
 * @property {() => void} close  ends calls under way and frees what it holds
 * @property {string} [note]  how it computes, in words, once it is described
 * @property {((text: string) => void) | null} [onprogress]  set by the page: a sentence while it gets ready
 */

/**
 * Why there is no description or answer, as a sentence for people.
 *
 * `reason`: a word of the gateway's table of reasons, or one of these:
 *   "unreachable"  nothing answered at all: it is asked again by itself once `describe` succeeds
 *   "unsupported"  this browser lacks what the source needs
 *   "http"         an answer that was none of the server's, as of a proxy
 * `retryAfter`: seconds after which the same call may succeed; null: it makes no sense to repeat it.
 */
export class SourceError extends Error {
  /**
   * @param {string} sentence
   * @param {{reason: string, retryAfter?: number | null, cause?: unknown}} about
   */
  constructor(sentence, { reason, retryAfter = null, cause }) {
    super(sentence, { cause });
    this.name = "SourceError";
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}
