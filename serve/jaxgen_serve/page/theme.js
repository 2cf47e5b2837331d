// Runs before the first paint, so that a theme chosen earlier does not flash in late.
"use strict";
try {
  const chosen = localStorage.getItem("jaxgen.theme");
  if (chosen === '"light"' || chosen === '"dark"') document.documentElement.dataset.theme = JSON.parse(chosen);
} catch {
  // Storage is forbidden: keep the system's theme.
}
