/* Predictions and quizzes: what a reader chooses stays in the browser, and nowhere else. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const remembered = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private mode */ } };
  const words = (input) => input.closest("label").textContent.trim();
  const follows = (first, second) =>
    Boolean(first.compareDocumentPosition(second) & Node.DOCUMENT_POSITION_FOLLOWING);

  for (const asked of document.querySelectorAll("fieldset[data-predict]")) {
    const name = asked.dataset.predict;
    const result = document.querySelector(`[data-predicted="${name}"]`);
    const covered = [...document.querySelectorAll(".cell_output")]
      .filter((output) => result && follows(asked, output) && follows(output, result))
      .filter((output) => !output.closest("details")); // folded: nobody sees it, nor a button in it
    const button = document.createElement("button");
    button.type = "button";
    button.className = "uncover btn btn-sm btn-outline-primary";
    button.textContent = "Show the result without a prediction";
    const uncover = () => {
      for (const output of covered) output.classList.remove("covered");
      button.remove();
    };
    const show = (input) => {
      uncover();
      if (result) result.textContent = `You predicted: ${words(input)}`;
    };
    const key = asked.querySelector("input").name;
    const earlier = [...asked.querySelectorAll("input")].find((input) => input.value === remembered(key));
    if (earlier) {
      earlier.checked = true;
      show(earlier);
    } else if (covered.length) {
      for (const output of covered) output.classList.add("covered");
      covered[0].before(button);
      button.addEventListener("click", uncover);
    }
    asked.addEventListener("change", (event) => {
      remember(key, event.target.value);
      show(event.target);
    });
  }

  for (const question of document.querySelectorAll(".quiz fieldset")) {
    const said = question.querySelector(".said");
    const feedback = (input) => input.closest("label").nextElementSibling;
    for (const text of question.querySelectorAll(".feedback")) text.hidden = true;
    const show = (input) => {
      const text = feedback(input);
      said.className = text.className.replace("feedback", "said");
      said.innerHTML = text.innerHTML;
    };
    const inputs = [...question.querySelectorAll("input")];
    const earlier = inputs.find((input) => input.value === remembered(input.name));
    if (earlier) {
      earlier.checked = true;
      show(earlier);
    }
    question.addEventListener("change", (event) => {
      remember(event.target.name, event.target.value);
      show(event.target);
    });
  }
});

/* Each button that unfolds a solution says which one; the buttons are there when the page is. */
window.addEventListener("load", () => {
  for (const button of document.querySelectorAll(".solution .toggle-button")) {
    const title = button.closest(".solution").querySelector(".admonition-title a").textContent.trim();
    button.setAttribute("aria-label", `Show or hide the solution to ${title}`);
  }
});
