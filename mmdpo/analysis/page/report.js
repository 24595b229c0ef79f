// Buttons unfold the single seeds of a result.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.unfold");
  if (!button) return;
  const seeds = document.getElementById(button.getAttribute("aria-controls"));
  seeds.hidden = !seeds.hidden;
  button.setAttribute("aria-expanded", String(!seeds.hidden));
});
