// SPDX-License-Identifier: Apache-2.0
// Sends the one form of a page that exists only to be sent. Without scripts the form's button does.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form[data-submit]");
  if (form) form.submit();
});
