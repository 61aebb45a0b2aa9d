"use strict";
// Without this script every example is shown; with it they can be narrowed down.
for (const browser of document.querySelectorAll(".browser")) {
  const form = browser.querySelector("form.filter");
  const examples = [...browser.querySelectorAll("details.example")];
  const choices = [...form.querySelectorAll("select")];
  const show = () => {
    for (const example of examples) {
      example.hidden = choices.some(({ name, value }) => value && example.dataset[name] !== value);
    }
    const shown = examples.filter((example) => !example.hidden).length;
    form.querySelector("output").value = `${shown} of ${examples.length} shown`;
  };
  form.hidden = false;
  form.addEventListener("change", show);
  show();
}
