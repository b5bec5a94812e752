// SPDX-License-Identifier: MIT
//
// trusted: where a page loads further code from. The policy of the pages (require-trusted-types-for, trusted-types
// tiketi) lets only this file name it: the workers of this version, from the page's own origin, also where a CDN has
// the other files, because browsers take workers from nowhere else.

const policy = globalThis.trustedTypes?.createPolicy('tiketi', { createScriptURL: (url) => url });

// The URL of a file that the build made, such as 'seats_worker.js'.
export function ownScript(name) {
  if (!/^[a-z_.]+\.js$/.test(name)) throw new TypeError(`no script: ${name}`);
  const url = `${document.body.dataset.assets}/${name}`;
  return policy ? policy.createScriptURL(url) : url;
}
