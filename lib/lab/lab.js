/* The lab: choose or draw an image, attack a network, see what two networks read in the result and
   what their filters do. A scene is a <div class="lab" data-scene="image=3&attack=fgsm"
   data-parts="epsilon attack">: where it begins, and what of it can be changed; its state stands in
   the address, so that a link shows the same scene. The arithmetic is in engine.js, in a worker, so
   that the page never waits for it. */
"use strict";

var Lab = (function () {
  const DEFAULTS = {
    image: "0", against: "", attack: "fgsm", epsilon: "0.1", target: "-1", left: "", right: "",
    steps: "40", drawn: "",
  };
  const ALL_PARTS = "image draw against attack target epsilon readers filters";
  const SIDE = 28, PIXELS = SIDE * SIDE;

  /* --- Computing beside the page ------------------------------------------------------- */

  let worker = null, waiting = new Map(), count = 0;

  function workerCode() {
    const engine = labEngine(), networks = {};
    const answer = (network, image) => ({
      probabilities: engine.softmax(engine.forward(network, image).logits),
      responses: engine.responses(network, image),
    });
    onmessage = ({ data }) => {
      const { id, kind, name, network, image, attack } = data;
      const send = (result, more = false) => postMessage({ id, result, more });
      if (kind === "network") send((networks[name] = engine.prepare(network)) && true);
      else if (kind === "read") send(answer(networks[name], image));
      else engine.run(networks[name], image, attack, (moved, step) =>
        send({ image: moved, step }, step < attack.steps));
    };
  }

  function ask(message, tell) {
    if (!worker) {
      const code = `var labEngine = ${labEngine};(${workerCode})();`;
      worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
      worker.onmessage = ({ data }) => {
        const entry = waiting.get(data.id);
        if (data.more) return entry.tell && entry.tell(data.result);
        waiting.delete(data.id);
        if (entry.tell) entry.tell(data.result);
        entry.resolve(data.result);
      };
    }
    return new Promise((resolve) => {
      waiting.set((message.id = ++count), { resolve, tell });
      worker.postMessage(message);
    });
  }

  /* --- Loading what is asked for --------------------------------------------------------- */

  const base = document.currentScript.src.replace(/[^/]*$/, "");
  const loaded = {};

  function script(name) {
    return (loaded[name] ||= new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = base + name;
      tag.onload = resolve;
      tag.onerror = () => reject(new Error(`${name} is missing beside this page`));
      document.head.append(tag);
    }));
  }

  async function network(name) {
    await script(`network-${name}.js`);
    const key = `prepared ${name}`;
    return (loaded[key] ||= ask({ kind: "network", name, network: labData.networks[name] }));
  }

  /* --- Small parts ------------------------------------------------------------------------ */

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function choice(label, options, value, change) {
    const select = element("select", { onchange: () => change(select.value) });
    for (const [key, text] of options) select.append(element("option", { value: key }, text));
    select.value = value;
    return element("label", {}, element("span", {}, label), select);
  }

  const bytes = (text) => Float32Array.from(atob(text), (letter) => letter.charCodeAt(0) / 255);
  const percent = (share) => `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 0 : 1)} %`;

  /* Pixels from black to white or, signed, from red (darker) over the ground to blue (lighter). */
  function paint(canvas, values, limit = 0) {
    const context = canvas.getContext("2d"), picture = context.createImageData(SIDE, SIDE);
    values.forEach((value, at) => {
      const share = limit ? Math.min(1, Math.abs(value) / limit) : 0;
      const grey = Math.round(255 * value), far = Math.round(255 * (1 - share));
      const colour = !limit ? [grey, grey, grey] : value < 0 ? [230, far, far] : [far, far, 230];
      if (limit && !share) colour.fill(255);
      picture.data.set([...colour, 255], 4 * at);
    });
    context.putImageData(picture, 0, 0);
  }

  /* A drawing moved so that its centre of mass is the image's, as it is in MNIST. */
  function centred(image) {
    let mass = 0, across = 0, down = 0;
    image.forEach((value, at) => {
      mass += value;
      across += value * (at % SIDE);
      down += value * Math.floor(at / SIDE);
    });
    const [right, below] = [across, down].map((sum) => Math.round((SIDE - 1) / 2 - sum / (mass || 1)));
    return image.map((_, at) => {
      const column = (at % SIDE) - right, row = Math.floor(at / SIDE) - below;
      return Math.min(column, row) < 0 || Math.max(column, row) >= SIDE ? 0 : image[row * SIDE + column];
    });
  }

  function picture(label) {
    const canvas = element("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": label });
    return { canvas, node: element("figure", {}, canvas, element("figcaption", {}, label)) };
  }

  /* --- A scene ------------------------------------------------------------------------------ */

  async function mount(root) {
    const kind = root.dataset.images || "scene";
    await script(`${kind}.js`);
    const { images, labels, networks, dominant, classes } = labData[kind];
    const names = Object.keys(networks), id = root.id || "lab";
    const given = new URLSearchParams(root.dataset.scene || "");
    const address = new URLSearchParams(location.hash.slice(1));
    const state = { ...DEFAULTS, against: names[0], left: names[0], right: names[1] || names[0] };
    for (const [name, value] of given) if (name in state) state[name] = value;
    const usual = { ...state };
    if (address.get("scene") === id)
      for (const [name, value] of address) if (name in state) state[name] = value;
    const parts = new Set((root.dataset.parts || ALL_PARTS).split(" "));
    let attacked = null, run = 0;

    const className = (label) => (classes ? classes[label] : String(label));
    const clean = () => (state.drawn ? bytes(state.drawn) : bytes(images[state.image]));
    const label = () => (state.drawn ? drawnLabel : labels[state.image]);
    let drawnLabel = -1;

    function remember() {
      const entries = Object.entries(state).filter(([name, value]) => value !== usual[name]);
      const text = new URLSearchParams([["scene", id], ...entries]);
      history.replaceState(null, "", `#${text}`);
    }

    /* What a visitor can set. */
    const strip = element("div", { class: "lab-strip", role: "radiogroup", "aria-label": "Image" });
    images.forEach((image, index) => {
      const canvas = element("canvas", { width: SIDE, height: SIDE, "aria-hidden": "true" });
      paint(canvas, bytes(image));
      const radio = element("input", {
        type: "radio", name: `${id}-image`, value: index,
        "aria-label": `${className(labels[index])}, image ${index + 1}`,
        onchange: () => set({ image: String(index), drawn: "" }),
      });
      radio.checked = !state.drawn && state.image === String(index);
      strip.append(element("label", {}, radio, canvas));
    });

    const pad = element("canvas", {
      width: SIDE, height: SIDE, class: "lab-pad", tabindex: "0", role: "application",
      "aria-label": "Draw here: press and move or, with the keyboard, arrows to move, space to paint",
    });
    let strokes = new Float32Array(PIXELS), pen = [14, 14];
    function dab(x, y) {
      for (let i = -2; i <= 2; i++)
        for (let j = -2; j <= 2; j++) {
          const [row, column] = [y + i, x + j], far = Math.hypot(i, j);
          if (row < 0 || column < 0 || row >= SIDE || column >= SIDE || far > 2) continue;
          const at = row * SIDE + column;
          strokes[at] = Math.max(strokes[at], far < 1.2 ? 1 : 0.5);
        }
      showPad();
    }
    function showPad() {
      const shown = strokes.slice();
      if (document.activeElement === pad) shown[pen[1] * SIDE + pen[0]] = 0.7;
      paint(pad, shown);
    }
    const place = (event) => {
      const box = pad.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top].map((value) =>
        Math.floor((SIDE * value) / box.width));
    };
    const useDrawing = () => set({
      drawn: btoa(String.fromCharCode(...centred(strokes).map((value) => Math.round(255 * value)))),
    });
    let drawing = false;
    pad.addEventListener("pointerdown", (event) => {
      drawing = true;
      pad.setPointerCapture(event.pointerId);
      dab(...place(event));
    });
    pad.addEventListener("pointermove", (event) => drawing && dab(...place(event)));
    pad.addEventListener("pointerup", () => { drawing = false; useDrawing(); });
    pad.addEventListener("focus", showPad);
    pad.addEventListener("blur", showPad);
    pad.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (event.key in moves)
        pen = pen.map((value, axis) => Math.min(27, Math.max(0, value + moves[event.key][axis])));
      else if (event.key !== " ") return;
      event.preventDefault();
      if (event.key === " ") { dab(...pen); useDrawing(); } else showPad();
    });
    const wipe = element("button", { type: "button", onclick: () => {
      strokes = new Float32Array(PIXELS);
      showPad();
      set({ drawn: "" });
    } }, "Clear");

    const radius = element("output", {}, state.epsilon);
    const slider = element("input", {
      type: "range", min: "0", max: "0.5", step: "0.01", value: state.epsilon,
      oninput: () => { radius.textContent = slider.value; },
      onchange: () => set({ epsilon: slider.value }),
    });
    const options = names.map((name) => [name, networks[name]]);
    const digits = labels.filter((value, at) => labels.indexOf(value) === at).sort((a, b) => a - b);
    const controls = Object.entries({
      against: () => choice("Crafted against", options, state.against,
        (value) => set({ against: value })),
      attack: () => choice("Attack",
        [["none", "none"], ["fgsm", "FGSM, one step"], ["pgd", `PGD, ${state.steps} steps`]],
        state.attack, (value) => set({ attack: value })),
      target: () => choice("Towards",
        [["-1", "anything else"], ...digits.map((digit) => [String(digit), className(digit)])],
        state.target, (value) => set({ target: value })),
      epsilon: () => element("label", {}, element("span", {}, "Epsilon ", radius), slider),
    }).filter(([part]) => parts.has(part)).map(([, make]) => make());

    /* What it shows. */
    const [original, change, result] = ["image", "what the attack adds", "what the networks see"]
      .map(picture);
    const status = element("p", { class: "lab-status", role: "status" });
    const timeline = element("input", {
      type: "range", min: "0", max: "40", value: "40", "aria-label": "Step of the attack",
      oninput: () => show(frames[Number(timeline.value)] || attacked, Number(timeline.value)),
    });
    const play = element("button", { type: "button", onclick: () => watch() }, "Watch the steps");
    const film = element("div", { class: "lab-film" }, play, timeline);
    let frames = [];

    const sides = parts.has("readers") || state.left !== state.right ? ["left", "right"] : ["left"];
    const readers = sides.map((side) => {
      const bars = element("div", { class: "lab-bars" });
      const verdict = element("p", { class: "lab-verdict", "aria-live": "polite" });
      const node = element("div", { class: "lab-reader" },
        parts.has("readers")
          ? choice("Read by", options, state[side], (value) => set({ [side]: value }))
          : element("span", {}, networks[state[side]]), verdict, bars);
      return { side, bars, verdict, node };
    });
    const filters = element("div", { class: "lab-filters" });

    function drawBars(reader, before, after) {
      const best = after.indexOf(Math.max(...after));
      const right = label() < 0 ? null : best === label();
      reader.verdict.textContent = `reads ${className(best)} (${percent(after[best])})` +
        (right === null ? "" : right ? ", right" : ", wrong");
      reader.verdict.dataset.right = String(right);
      reader.bars.replaceChildren(...Array.from(after, (share, digit) =>
        element("div", { class: "lab-bar", title: `${className(digit)}: ${percent(share)}` },
          element("span", {}, className(digit)),
          element("i", { style: `--share:${share};--before:${before[digit]}` }),
          element("small", {}, percent(share)))));
    }

    function drawFilters(name, before, after) {
      filters.replaceChildren(...after.map((layer, number) => {
        const most = Math.max(...layer, ...before[number], 1e-9);
        const marked = new Set(dominant[number] || []);
        const moved = layer.map((value, index) => Math.abs(value - before[number][index]));
        const first = [...moved.keys()].filter((index) => moved[index])
          .sort((one, other) => moved[other] - moved[one]).slice(0, marked.size || 4);
        const which = first.map((index) => `${index}${marked.has(index) ? " (dominant)" : ""}`);
        const bars = layer.map((value, index) => element("i", {
          class: marked.has(index) ? "dominant" : "",
          style: `--share:${value / most};--before:${before[number][index] / most}`,
          title: `filter ${index}: ${before[number][index].toFixed(3)} before, ` +
            `${value.toFixed(3)} after${marked.has(index) ? "; dominant" : ""}`,
        }));
        return element("figure", {},
          element("figcaption", {}, `Layer ${number + 1}, ${networks[name]}: mean response of each ` +
            `of its ${layer.length} filters, before the attack (line) and after (bar), the dominant ` +
            `ones in orange. Moved most: ${which.join(", ") || "none"}.`),
          element("div", { class: "lab-responses", role: "img", "aria-label":
            `Responses of ${layer.length} filters before and after the attack` }, ...bars));
      }));
    }

    async function show(image, step) {
      const clear = clean();
      paint(original.canvas, clear);
      paint(change.canvas, image.map((value, at) => value - clear[at]), Number(state.epsilon) || 1);
      paint(result.canvas, image);
      timeline.value = step;
      const current = run;
      for (const reader of readers) {
        const name = state[reader.side];
        const [before, after] = await Promise.all(
          [clear, image].map((seen) => ask({ kind: "read", name, image: seen })));
        if (current !== run) return;
        drawBars(reader, before.probabilities, after.probabilities);
        if (parts.has("filters") && reader === readers.at(-1))
          drawFilters(name, before.responses, after.responses);
      }
    }

    async function watch() {
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      const current = run;
      for (let step = 0; step < frames.length && current === run; step++) {
        await show(frames[step], step);
        if (!still) await new Promise((resolve) => setTimeout(resolve, 60));
      }
    }

    async function update() {
      const current = ++run;
      root.setAttribute("aria-busy", "true");
      status.textContent = "loading the networks …";
      try {
        await Promise.all([state.against, ...sides.map((side) => state[side])].map(network));
      } catch (error) {
        status.textContent = error.message;
        root.removeAttribute("aria-busy");
        return;
      }
      const image = clean();
      if (state.drawn) {
        const { probabilities } = await ask({ kind: "read", name: state.against, image });
        drawnLabel = probabilities.indexOf(Math.max(...probabilities));
      }
      const single = state.attack === "fgsm", epsilon = Number(state.epsilon);
      const attack = {
        epsilon, label: label(), target: Number(state.target), randomStart: false,
        steps: state.attack === "none" ? 0 : single ? 1 : Number(state.steps),
        stepSize: single ? epsilon : Math.max(0.01, (2.5 * epsilon) / Number(state.steps)),
      };
      frames = [];
      status.textContent = "attacking …";
      attacked = (await ask({ kind: "attack", name: state.against, image, attack }, (moved) => {
        if (current !== run) return;
        frames.push(moved.image);
        if (attack.steps) status.textContent = `attacking: step ${moved.step} of ${attack.steps}`;
      })).image;
      if (current !== run) return;
      film.hidden = attack.steps < 2;
      timeline.max = attack.steps;
      await show(attacked, attack.steps);
      if (current !== run) return;
      status.textContent = state.drawn
        ? `What was drawn counts as ${className(drawnLabel)}, as ${networks[state.against]} reads it.`
        : `The image shows ${className(label())}.`;
      root.removeAttribute("aria-busy");
      root.dataset.ready = String(current);
    }

    function set(changes) {
      Object.assign(state, changes);
      for (const radio of strip.querySelectorAll("input"))
        radio.checked = !state.drawn && radio.value === state.image;
      remember();
      return update();
    }

    root.replaceChildren(
      ...(parts.has("image") ? [strip] : []),
      ...(parts.has("draw") ? [element("div", { class: "lab-draw" },
        element("span", {}, "or draw one:"), pad, wipe)] : []),
      element("div", { class: "lab-controls" }, ...controls),
      status,
      element("div", { class: "lab-pictures" }, original.node, change.node, result.node),
      film,
      element("div", { class: "lab-readers" }, ...readers.map(({ node }) => node)),
      ...(parts.has("filters") ? [filters] : []));
    showPad();
    if (state.drawn) { strokes = bytes(state.drawn); showPad(); }
    await update();
  }

  return { mount };
})();
