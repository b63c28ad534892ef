/**
 * Reads 8-bit PNGs, gray or RGB, from bytes. A canvas would do it too, but browsers that guard against fingerprinting
 * alter what a canvas gives back, and these pixels are measurements.
 */

/** @typedef {{width: number, height: number, channels: 1 | 3, pixels: Uint8Array}} Picture */

/**
 * Decode an 8-bit, not interlaced PNG.
 * @param {Uint8Array} bytes
 * @returns {Promise<Picture>} pixels row by row, the channels of a pixel side by side
 */
export async function decodePng(bytes) {
  const { width, height, channels, packed } = readChunks(bytes);
  const filtered = await inflate(packed);
  return { width, height, channels, pixels: unfilter(filtered, width * channels, height, channels) };
}

/**
 * @param {Uint8Array} bytes
 * @returns {{width: number, height: number, channels: 1 | 3, packed: Uint8Array[]}}
 */
function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packed = [];
  let [width, height] = [0, 0];
  let channels = /** @type {1 | 3} */ (1);
  for (let at = 8; at < bytes.length; at += view.getUint32(at) + 12) {
    const kind = view.getUint32(at + 4);
    if (kind === 0x49484452) {
      [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      channels = bytes[at + 17] === 2 ? 3 : 1;
      const plain = bytes[at + 16] === 8 && (channels === 3 || bytes[at + 17] === 0) && bytes[at + 20] === 0;
      if (!plain) throw new Error("Expected a gray or RGB 8-bit PNG that is not interlaced.");
    }
    if (kind === 0x49444154) packed.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  return { width, height, channels, packed };
}

/**
 * @param {Uint8Array[]} parts a zlib stream
 * @returns {Promise<Uint8Array>}
 */
async function inflate(parts) {
  const stream = new Blob(/** @type {BlobPart[]} */ (parts)).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Undo the row filters of PNG (the specification, section 9).
 * @param {Uint8Array} data
 * @param {number} stride bytes a row
 * @param {number} height
 * @param {number} channels bytes a pixel
 * @returns {Uint8Array}
 */
function unfilter(data, stride, height, channels) {
  const pixels = new Uint8Array(stride * height);
  for (let row = 0; row < height; row += 1) {
    const kind = data[row * (stride + 1)];
    const from = row * (stride + 1) + 1;
    const to = row * stride;
    for (let x = 0; x < stride; x += 1) {
      const left = x >= channels ? pixels[to + x - channels] : 0;
      const up = row > 0 ? pixels[to + x - stride] : 0;
      const corner = x >= channels && row > 0 ? pixels[to + x - stride - channels] : 0;
      pixels[to + x] = data[from + x] + predict(kind, left, up, corner);
    }
  }
  return pixels;
}

/**
 * @param {number} kind
 * @param {number} left
 * @param {number} up
 * @param {number} corner
 * @returns {number}
 */
function predict(kind, left, up, corner) {
  if (kind === 1) return left;
  if (kind === 2) return up;
  if (kind === 3) return (left + up) >> 1;
  if (kind !== 4) return 0;
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
