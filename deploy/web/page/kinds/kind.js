/**
 * What the page knows of a kind of answer. Each kind is a module of this folder, listed in `index.js`; nothing
 * outside it branches on a kind's name. `error` is the answer's expected error in the form of the answer's numbers,
 * undefined where none is stated.
 *
 * @import { Answer, Face, Task } from "../sources/source.js"
 *
 * @typedef {object} Kind
 * @property {string} name  as the contract spells it
 * @property {(task: Task, answer: any, error?: any) => Node | null} show  the answer in a face's panel; null: nothing to read
 * @property {(task: Task, answer: any, error?: any) => string} brief  the answer in a cell of the table
 * @property {(task: Task, answer: any, error?: any) => string} [headline]  the answer of one face among many
 * @property {(task: Task) => string[]} columns  of a CSV, as `qface analyze --csv` names them
 * @property {(task: Task, answer: any, error?: any) => (string | number)[]} cells  of these columns
 * @property {string} [layer]  the toggle under which it is drawn on the photo
 * @property {(brush: Brush, task: Task, answer: any, error?: any) => SVGElement[]} [draw]  in the photo's pixels
 * @property {(canvas: AreaCanvas, task: Task, answer: any) => void} [paint]  areas, below all lines
 * @property {(task: Task, answer: any) => LegendEntry[]} [legend]  what its colours mean
 * @property {(task: Task, answer: any) => {task: string, hidden: Set<number>} | null} [hiddenPoints]
 *   the task whose points this answer is about, and the indices of those that can't be seen
 *
 * @typedef {object} LegendEntry
 * @property {string} text
 * @property {string} colour
 *
 * @typedef {object} Brush  how a face is drawn, in the photo's pixels
 * @property {number} unit  the photo's pixels to one of the screen's
 * @property {[number, number, number, number]} box  the face's
 * @property {(task: string) => Set<number>} hidden  indices of a task's points that can't be seen
 *
 * @typedef {object} AreaCanvas
 * @property {CanvasRenderingContext2D} context  whose units are the photo's pixels
 * @property {number} opacity  in [0, 1]
 */

export {};
