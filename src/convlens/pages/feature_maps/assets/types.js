/**
 * The data the page carries (FORMAT.md says more about each). Types only; nothing runs here.
 *
 * @typedef {{size: number, stride: number, start: number}} Span  a receptive field along one axis, in picture pixels
 * @typedef {{rows: Span, columns: Span, gated?: boolean}} Field  gated: multiplied by a factor that sees the whole photo
 * @typedef {{size: number, stride: number, before: number, dilation?: number}} Window  a window along one axis
 * @typedef {{
 *   name: string, kind: string, label: string, shape: [number, number], rectified: boolean, stored: boolean,
 *   field: Field | null, scale: string | null, offset: string | null, windows: [Window, Window] | null
 * }} Step
 * @typedef {{value: number | null, low: number | null, high: number | null}} Estimate  a mean and its 95 % interval
 * @typedef {{low: number[], high: number[], numBins: number, bars: string, numValues: number | number[]}} Histogram
 * @typedef {[number, number, number, number]} Patch  gallery picture, row, column, value
 * @typedef {{
 *   dead: boolean[], prefers: string[], mean: number[], maximum: number[], firing_rate: number[],
 *   active_share: number[], auc_mean: number[], selectivity: number[], auc_low?: number[], auc_high?: number[],
 *   edges?: Estimate[], brightness?: Estimate[], histogram?: Histogram | null, patches?: Patch[][] | null,
 *   ablation?: {probability: Estimate[], logOdds: Estimate[], numPhotos: number} | null, numPatchPhotos?: number, numProfilePhotos?: number
 * }} Facts  facts of the filters shown, over the sample of photos
 * @typedef {{kind: "picture", scale: number[], offset: number[], order: number[]}
 *   | {kind: "steps", names: string[]}} Input  what a convolution reads
 * @typedef {{
 *   kind: string, windows: [Window, Window], kernel: [number, number], numChannels: number, channelsPerFilter: number,
 *   firstChannel: number[], bias: string | null, input: Input, upTo?: string, error: number, errorShare?: number, mapError?: number | null
 * }} Arithmetic
 * @typedef {{
 *   name: string, isConvolution: boolean, numFilters: number, numDead: number, numRare: number, response: string,
 *   shown: number[], steps: Step[], facts: Facts | null, arithmetic?: Arithmetic | null, why?: string
 *   short?: string
 * }} Block
 * @typedef {{
 *   name: string, group: "user" | "error" | "correct", truth: string | null, answer: string,
 *   probabilities: number[], storedSize: [number, number], pictureSize: [number, number],
 *   views: number[], sentence?: string
 * }} Photo
 * @typedef {{
 *   name: string, numPhotos: number, share: number, effect: Estimate, null: Estimate, difference: Estimate,
 *   found: boolean, ratios: Record<string, {value: string, low: string, high: string}>
 * }} Region  a named part over the data set
 * @typedef {{probability: number[], area: Estimate}} TrustCurve
 * @typedef {{saliency: TrustCurve, random: TrustCurve, edges: TrustCurve}} TrustCurves
 * @typedef {{
 *   numPhotos: number,
 *   curves?: {shares: number[], deletion: TrustCurves, insertion: TrustCurves},
 *   curvesPass?: boolean, curvesDifference?: {deletion: Estimate, insertion: Estimate},
 *   randomization?: {steps: {layer: string, correlation: Estimate}[], final: Estimate, pass: boolean, threshold: number},
 *   equivariance?: {block: string, pixels: number, error: Estimate}[]
 * }} Trust
 * @typedef {{
 *   kind: string, inputs: number[], name: string, shape?: [number, number], scale?: string, offset?: string,
 *   windows?: [Window, Window]
 * }} Operation
 * @typedef {{operations: Operation[], logOdds: number, units: number, multiplications?: number}} Program
 * @typedef {{
 *   classes: string[], pictureSize: [number, number], numSample: number, activation: string, blocks: Block[],
 *   photos: Photo[], limits: Record<string, [number, number]>, colors: {signed: string, positive: string},
 *   mirror?: boolean, centerCrop?: number | null, temperature?: number, camSteps?: {name: string, shape: [number, number], field: Field | null}[], camStep?: string | null, program?: Program | null,
 *   programWhy?: string, regions?: Region[], numRegionPhotos?: number, trust?: Trust | null
 * }} Page
 * @typedef {{png: string, offset: string, step: string, low?: string}} StoredMaps
 * @typedef {{shape: [number, number], step: number, values: string}} Grid
 * @typedef {{size: [number, number], stride: [number, number], grid: Grid, probability: Grid}} Occlusion
 * @typedef {{
 *   name: string, box: [number, number, number, number], share: number, effect: number, logOdds: number,
 *   null: {value: number, low: number, high: number, num: number}
 * }} PhotoRegion
 * @typedef {{
 *   picture: string | null, limits: Record<string, [number, number]>, maps: Record<string, StoredMaps>,
 *   cams?: Record<string, Grid>, occlusion?: Occlusion[], regions?: PhotoRegion[],
 *   effects?: Record<string, {probability: string, logOdds: string}>
 * }} Payload
 * @typedef {{
 *   blocks: Record<string, {step: string, values: string}>, dense: Record<string, {weights: string, bias: string | null}>
 * }} Kernels
 * @typedef {{scale: number, pictures: string[], names: string[], labels: string[]}} Gallery
 *
 * @typedef {{
 *   height: number, width: number, rectified: boolean, limits: [number, number], tiles: Float32Array[]
 * }} Maps  the maps of one step for one photo; tile k belongs to filter shown[k]
 * @typedef {{
 *   index: number, facts: Photo, payload: Payload, pictureUrl: string, storedUrl: string,
 *   maps: Map<string, Maps>, picture: {width: number, height: number, pixels: Uint8Array}
 * }} LoadedPhoto  a photo with everything read back
 * @typedef {"convolution" | "before" | "after" | "pooled"} View
 * @typedef {"layer" | "filter" | "photos"} Scale
 * @typedef {"network" | "strength" | "effect" | "selectivity"} Order
 * @typedef {"linear" | "root"} Curve  how colors follow values
 * @typedef {{limit: number, signed: boolean, table: Uint8Array, curve: Curve}} Colors  a color scale
 * @typedef {"answer" | "filters" | "filter" | "cell" | "place" | "regions" | "time" | "bench" | "trust" | "layers"} Tab
 * @typedef {[number, number, number, number]} Box  left, top, right, bottom in picture pixels
 * @typedef {{
 *   tab: Tab, photo: number, view: View, scale: Scale, order: Order, curve: Curve, tile: "s" | "m" | "l", block: string,
 *   filter: number, cell: [number, number] | null, blend: number, epoch: number, point: [number, number] | null, box: Box | null,
 *   part: string, step: number
 * }} State  what the address remembers; block "" means that no tile is open; point is x, y in picture pixels; part is the
 *   name of a region, step the one of the block that a cell is worked out for, -1 its response
 * @typedef {{signed: Uint8Array, positive: Uint8Array}} Tables
 * @typedef {{
 *   page: Page, tables: Tables, state: State, change: (part: Partial<State>) => void,
 *   resource: <T>(id: string) => T | null
 * }} Context  what every view gets: data, state, and the one way to change it
 * @typedef {{show: (photo: LoadedPhoto) => void}} TabView
 */
export const FORMAT = 3;
