/* Networks of convolutions, ReLU, pooling and dense layers: their answers, the gradient of the
   loss by the image, FGSM and PGD. Plain arithmetic on one image at a time, so that a page needs
   no library; runs in the page or in a worker. Same steps as CleverHans, as lib.stages.attacks
   calls it. */
"use strict";

var labEngine = function () {
  const SIDE = 28;

  /* The weights come as float16 (little-endian, base64): half the size, and enough for any digit. */
  function float16(bits) {
    const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  function decode(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const halves = new Uint16Array(bytes.buffer);
    return Float32Array.from(halves, float16);
  }

  /* A network is {layers: [{kind, shape?, relu?}], weights}; shapes are Keras's. */
  function prepare(network) {
    const values = typeof network.weights === "string" ? decode(network.weights) : network.weights;
    let place = 0;
    const take = (count) => values.subarray(place, (place += count));
    const layers = network.layers.map((layer) => {
      if (!layer.shape) return { ...layer };
      const size = layer.shape.reduce((a, b) => a * b);
      return { ...layer, kernel: take(size), bias: take(layer.shape.at(-1)) };
    });
    if (place !== values.length) throw new Error("the weights do not fit the layers");
    return { layers };
  }

  function convolve(layer, input, side) {
    const [size, , channels, filters] = layer.shape;
    const reach = (size - 1) / 2, output = new Float32Array(side * side * filters);
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++) {
        const to = (y * side + x) * filters;
        output.set(layer.bias, to);
        for (let i = Math.max(0, reach - y); i < size && y + i - reach < side; i++)
          for (let j = Math.max(0, reach - x); j < size && x + j - reach < side; j++) {
            const from = ((y + i - reach) * side + x + j - reach) * channels;
            for (let c = 0; c < channels; c++) {
              const value = input[from + c];
              if (value === 0) continue;
              const row = ((i * size + j) * channels + c) * filters;
              for (let f = 0; f < filters; f++) output[to + f] += value * layer.kernel[row + f];
            }
          }
      }
    return output;
  }

  function convolveBack(layer, gradient, side) {
    const [size, , channels, filters] = layer.shape;
    const reach = (size - 1) / 2, result = new Float32Array(side * side * channels);
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++) {
        const from = (y * side + x) * filters, used = [];
        for (let f = 0; f < filters; f++) if (gradient[from + f] !== 0) used.push(f);
        if (!used.length) continue;
        for (let i = Math.max(0, reach - y); i < size && y + i - reach < side; i++)
          for (let j = Math.max(0, reach - x); j < size && x + j - reach < side; j++) {
            const to = ((y + i - reach) * side + x + j - reach) * channels;
            for (let c = 0; c < channels; c++) {
              const row = ((i * size + j) * channels + c) * filters;
              let sum = 0;
              for (const f of used) sum += gradient[from + f] * layer.kernel[row + f];
              result[to + c] += sum;
            }
          }
      }
    return result;
  }

  function pool(input, side, channels) {
    const half = side >> 1, output = new Float32Array(half * half * channels);
    const winners = new Int32Array(output.length);
    for (let y = 0; y < half; y++)
      for (let x = 0; x < half; x++)
        for (let c = 0; c < channels; c++) {
          let best = -1;
          for (const [i, j] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
            const at = ((2 * y + i) * side + 2 * x + j) * channels + c;
            if (best < 0 || input[at] > input[best]) best = at;
          }
          const to = (y * half + x) * channels + c;
          output[to] = input[best];
          winners[to] = best;
        }
    return { output, winners };
  }

  function multiply(layer, input) {
    const [inputs, outputs] = layer.shape, output = Float32Array.from(layer.bias);
    for (let i = 0; i < inputs; i++) {
      const value = input[i];
      if (value === 0) continue;
      for (let o = 0; o < outputs; o++) output[o] += value * layer.kernel[i * outputs + o];
    }
    return output;
  }

  function multiplyBack(layer, gradient) {
    const [inputs, outputs] = layer.shape, result = new Float32Array(inputs);
    for (let i = 0; i < inputs; i++) {
      let sum = 0;
      for (let o = 0; o < outputs; o++) sum += gradient[o] * layer.kernel[i * outputs + o];
      result[i] = sum;
    }
    return result;
  }

  /* Return the logits, and the output of each layer. */
  function forward(network, image) {
    let maps = image, side = SIDE, channels = 1;
    const trace = [];
    for (const layer of network.layers) {
      const note = { layer, side, input: maps };
      if (layer.kind === "conv") {
        maps = convolve(layer, maps, side);
        channels = layer.shape[3];
      } else if (layer.kind === "pool") {
        const pooled = pool(maps, side, channels);
        note.winners = pooled.winners;
        maps = pooled.output;
        side >>= 1;
      } else maps = multiply(layer, maps);
      if (layer.relu) maps = maps.map((value) => (value > 0 ? value : 0));
      note.output = maps;
      note.channels = channels;
      trace.push(note);
    }
    return { logits: maps, trace };
  }

  /* In float32 as TensorFlow has it: where the network is sure, what is lost to rounding decides
     the sign of many a derivative. */
  function softmax(logits) {
    const top = Math.max(...logits);
    const powers = Float32Array.from(logits, (value) => Math.exp(value - top));
    const sum = powers.reduce((a, b) => Math.fround(a + b));
    return powers.map((value) => value / sum);
  }

  /* The gradient of the cross-entropy for a label, by the pixels. */
  function gradient(network, image, label) {
    const { logits, trace } = forward(network, image);
    let flow = Float32Array.from(softmax(logits), (value, digit) => value - (digit === label));
    for (const { layer, side, input, output, winners } of trace.reverse()) {
      if (layer.relu) flow = flow.map((value, at) => (output[at] > 0 ? value : 0));
      if (layer.kind === "conv") flow = convolveBack(layer, flow, side);
      else if (layer.kind === "pool") {
        const below = new Float32Array(input.length);
        for (let at = 0; at < flow.length; at++) below[winners[at]] += flow[at];
        flow = below;
      } else flow = multiplyBack(layer, flow);
    }
    return { flow, logits };
  }

  const clip = (value, low, high) => Math.min(high, Math.max(low, value));

  /* One step along the sign of the gradient, back into the ball and the range of pixels. */
  function step(network, clean, image, attack) {
    const targeted = attack.target >= 0;
    const { flow } = gradient(network, image, targeted ? attack.target : attack.label);
    const length = targeted ? -attack.stepSize : attack.stepSize;
    return image.map((value, at) => {
      const moved = clip(value + length * Math.sign(flow[at]), 0, 1);
      return clip(clean[at] + clip(moved - clean[at], -attack.epsilon, attack.epsilon), 0, 1);
    });
  }

  /* attack: {steps, stepSize, epsilon, label, target (-1: none), randomStart}; each image is told. */
  function run(network, clean, attack, tell) {
    let image = clean;
    if (attack.randomStart)
      image = clean.map((value) => clip(value + attack.epsilon * (2 * Math.random() - 1), 0, 1));
    tell(image, 0);
    for (let count = 1; count <= attack.steps; count++) {
      image = step(network, clean, image, attack);
      tell(image, count);
    }
    return image;
  }

  /* How strongly each filter of each convolution responds: the mean of its output map. */
  function responses(network, image) {
    return forward(network, image).trace
      .filter(({ layer }) => layer.kind === "conv")
      .map(({ output, channels }) => {
        const sums = new Array(channels).fill(0);
        output.forEach((value, at) => (sums[at % channels] += value));
        return sums.map((sum) => sum / (output.length / channels));
      });
  }

  return { decode, prepare, forward, gradient, softmax, step, run, responses };
};

if (typeof module !== "undefined") module.exports = labEngine;
