/* Starts a scene of the lab when it is asked for: nothing of it loads before. */
"use strict";

var labData = { networks: {} };

(() => {
  const load = (source) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });
  const start = async (scene) => {
    const button = scene.querySelector(".lab-start");
    const folder = `${document.documentElement.dataset.content_root}lab/`;
    try {
      if (typeof Lab === "undefined") {
        const style = document.createElement("link");
        style.rel = "stylesheet";
        style.href = `${folder}lab.css`;
        document.head.append(style);
        await load(`${folder}engine.js`);
        await load(`${folder}lab.js`);
      }
      const focused = document.activeElement === button;
      await Lab.mount(scene);
      if (focused) scene.querySelector("select, input")?.focus();
    } catch {
      button.replaceWith("The lab is not on this site: build the chapter “The lab” first.");
    }
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".lab-start");
    if (button) start(button.closest(".lab"));
  });
  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll(".lab-start")) button.hidden = false;
    const named = new URLSearchParams(location.hash.slice(1)).get("scene");
    const scene = named && document.getElementById(named);
    if (scene && scene.matches(".lab")) start(scene).then(() => scene.scrollIntoView());
  });
})();
