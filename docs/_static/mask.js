// Mask format 1 (mask-format.md) in JavaScript, and the page that shows it. Compared with simdrop by tests/docs.
"use strict";

const simdropMask = (() => {
  // High and low 32 bits of a product of two 32-bit numbers, by way of 16-bit halves: doubles are exact to 2^53 only.
  function multiply(a, b) {
    const a0 = a & 0xffff, a1 = a >>> 16, b0 = b & 0xffff, b1 = b >>> 16;
    const middle = a1 * b0 + ((a0 * b0) >>> 16);
    const carry = (middle & 0xffff) + a0 * b1;
    return [(a1 * b1 + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0, Math.imul(a, b) >>> 0];
  }

  // Philox4x32-10.
  function philox([c0, c1, c2, c3], [k0, k1]) {
    for (let round = 0; round < 10; ++round) {
      const [high0, low0] = multiply(0xd2511f53, c0);
      const [high1, low1] = multiply(0xcd9e8d57, c2);
      [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
      k0 = (k0 + 0x9e3779b9) >>> 0;
      k1 = (k1 + 0xbb67ae85) >>> 0;
    }
    return [c0, c1, c2, c3];
  }

  const halves = (n) => [Number(n & 0xffffffffn), Number(n >> 32n)];

  // u(i), 40 bits, of elements 0 .. count - 1: seven blocks of 128 bits more than the leading plane, and the tail words.
  function numbers(seed, stream, count) {
    const key = halves(seed), [s0, s1] = halves(stream);
    const block = (b, plane) => philox([b >>> 0, (plane << 24) >>> 0, s0, s1], key);
    const found = new Array(count).fill(0);
    for (let i = 0; i < count; i += 4) {
      block(i / 4, 8).forEach((word, j) => { if (i + j < count) found[i + j] = word; });
    }
    for (let i = 0; i < count; i += 128) {
      for (let plane = 0; plane < 8; ++plane) {
        const words = block(i / 128, plane);
        for (let j = 0; j < 128 && i + j < count; ++j) {
          if ((words[j >> 5] >>> (j & 31)) & 1) found[i + j] += 2 ** (39 - plane);
        }
      }
    }
    return found;
  }

  // p * 2^40 is exact; rounded to nearest, ties to even.
  function threshold(p) {
    const exact = p * 2 ** 40, below = Math.floor(exact), rest = exact - below;
    return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
  }

  function keep(seed, stream, p, count) {
    const limit = threshold(p);
    return numbers(BigInt(seed), BigInt(stream), count).map((u) => u >= limit);
  }

  return { philox, numbers, threshold, keep };
})();

(() => {
  const side = 32, part = (name) => document.getElementById(`mask-${name}`);
  if (!part("grid")) return;
  const colours = { kept: [0, 114, 178], fresh: [230, 159, 0], dropped: [255, 255, 255] };
  let before = null;

  function integer(box) {
    let value = null;
    try { value = BigInt(box.value.trim() || "x"); } catch { /* not a number */ }
    const good = value !== null && value >= 0n && value < 1n << 64n;
    box.setCustomValidity(good ? "" : "an integer from 0 to 2^64 - 1");
    box.reportValidity();
    return good ? value : null;
  }

  function draw(event) {
    const seed = integer(part("seed")), stream = integer(part("stream")), p = Number(part("p").value) / 1000;
    if (seed === null || stream === null) return;
    const kept = simdropMask.keep(seed, stream, p, side * side);
    const onlyP = event && event.target === part("p");
    const context = part("grid").getContext("2d"), image = context.createImageData(side, side);
    kept.forEach((k, i) => {
      const colour = k ? colours.kept : onlyP && before && before[i] ? colours.fresh : colours.dropped;
      image.data.set([...colour, 255], 4 * i);
    });
    context.putImageData(image, 0, 0);
    before = kept;
    part("p-value").textContent = p;
    part("text").textContent =
      `simdrop.Mask((32, 32), ${p}, seed=${seed}, stream=${stream})  # ${kept.filter(Boolean).length} of 1024 kept`;
  }

  for (const name of ["seed", "stream", "p"]) part(name).addEventListener("input", draw);
  draw();
})();
