/**
 * Reads 8-bit grey PNGs from bytes. A canvas would do it too, but browsers that guard against fingerprinting alter
 * what a canvas gives back, and these greys are measurements.
 */

/**
 * Decode a grey, 8-bit, not interlaced PNG.
 * @param {Uint8Array} bytes
 * @returns {Promise<{width: number, height: number, pixels: Uint8Array}>}
 */
export async function decodeGreyPng(bytes) {
  const { width, height, packed } = readChunks(bytes);
  const filtered = await inflate(packed);
  return { width, height, pixels: unfilter(filtered, width, height) };
}

/**
 * @param {Uint8Array} bytes
 * @returns {{width: number, height: number, packed: Uint8Array[]}}
 */
function readChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packed = [];
  let width = 0;
  let height = 0;
  for (let at = 8; at < bytes.length; at += view.getUint32(at) + 12) {
    const kind = view.getUint32(at + 4);
    if (kind === 0x49484452) {
      [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      const plain = bytes[at + 16] === 8 && bytes[at + 17] === 0 && bytes[at + 20] === 0;
      if (!plain) throw new Error("Expected a grey 8-bit PNG that is not interlaced.");
    }
    if (kind === 0x49444154) packed.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  return { width, height, packed };
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
 * Undo the row filters of PNG (the specification, section 9), one byte a pixel.
 * @param {Uint8Array} data
 * @param {number} width
 * @param {number} height
 * @returns {Uint8Array}
 */
function unfilter(data, width, height) {
  const pixels = new Uint8Array(width * height);
  for (let row = 0; row < height; row += 1) {
    const kind = data[row * (width + 1)];
    const from = row * (width + 1) + 1;
    const to = row * width;
    for (let x = 0; x < width; x += 1) {
      const left = x > 0 ? pixels[to + x - 1] : 0;
      const up = row > 0 ? pixels[to + x - width] : 0;
      const corner = x > 0 && row > 0 ? pixels[to + x - width - 1] : 0;
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
