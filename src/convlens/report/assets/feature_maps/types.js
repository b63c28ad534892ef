/**
 * The data the page carries, as `feature_maps_encode.py` writes it. Types only; nothing runs here.
 *
 * @typedef {{size: number, stride: number, start: number}} Span  a receptive field along one axis, in picture pixels
 * @typedef {{rows: Span, columns: Span}} Field
 * @typedef {{size: number, stride: number, before: number}} Window  a pooling window along one axis
 * @typedef {{
 *   name: string, kind: string, label: string, shape: [number, number], rectified: boolean, stored: boolean,
 *   field: Field | null, scale: string | null, offset: string | null, windows: [Window, Window] | null
 * }} Step
 * @typedef {{
 *   dead: boolean[], prefers: string[], mean: number[], maximum: number[], firing_rate: number[],
 *   active_share: number[], auc_mean: number[], selectivity: number[]
 * }} Facts  facts of the filters shown, over the sample of photos
 * @typedef {{
 *   name: string, isConvolution: boolean, numFilters: number, numDead: number, numRare: number, response: string,
 *   shown: number[], steps: Step[], facts: Facts | null
 * }} Block
 * @typedef {{
 *   name: string, group: "own" | "mistake" | "correct", truth: string | null, answer: string,
 *   probabilities: number[], storedSize: [number, number], pictureSize: [number, number]
 * }} Photo
 * @typedef {{
 *   classes: string[], pictureSize: [number, number], numSample: number, activation: string, blocks: Block[],
 *   photos: Photo[], limits: Record<string, [number, number]>, colours: {signed: string, positive: string}
 * }} Page
 * @typedef {{png: string, offset: string, step: string}} StoredMaps
 * @typedef {{picture: string, limits: Record<string, [number, number]>, maps: Record<string, StoredMaps>}} Payload
 * @typedef {{
 *   height: number, width: number, rectified: boolean, limits: [number, number], tiles: Float32Array[]
 * }} Maps  the maps of one step for one photo; tile k belongs to filter shown[k]
 * @typedef {"convolution" | "before" | "after" | "pooled"} View
 * @typedef {"layer" | "filter" | "photos"} Scale
 * @typedef {"network" | "strength" | "selectivity"} Order
 * @typedef {"linear" | "root"} Curve  how colours follow values
 * @typedef {{limit: number, signed: boolean, table: Uint8Array, curve: Curve}} Colours  a colour scale
 * @typedef {{
 *   photo: number, view: View, scale: Scale, order: Order, curve: Curve, tile: "s" | "m" | "l", block: string, filter: number,
 *   cell: [number, number] | null, blend: number
 * }} State  what the address remembers; block "" means that no tile is open
 */
export const FORMAT = 1;
