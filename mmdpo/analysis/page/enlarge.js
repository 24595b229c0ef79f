"use strict";
// Any button of the class `enlarge` shows its image in the page's dialog; Escape, the button or a click closes it.
function enlarge(button) {
  const dialog = document.getElementById("enlarged");
  const small = button.querySelector("img");
  const large = dialog.querySelector("img");
  large.src = small.src;
  large.alt = small.alt;
  dialog.querySelector("p").textContent = small.alt;
  dialog.showModal();
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.enlarge");
  if (button) enlarge(button);
  else if (event.target.closest("dialog")) event.target.closest("dialog").close();
});
