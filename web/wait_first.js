// SPDX-License-Identifier: MIT
//
// wait_first: the position that the server wrote into the page may be older, and so higher, than the one
// this browser was last shown over the socket (wait.js stores it). This script corrects it before the page
// is painted. It is not a module: modules run only after the whole page was read, which may be after the
// first paint.

(() => {
  const lowestShown = ({ event, place }) => {
    try {
      const stored = JSON.parse(localStorage.getItem(`tiketi:place:${event}`));
      return place && stored?.place === place ? stored.lowest : Infinity;
    } catch {
      return Infinity; // no storage
    }
  };
  const correct = (_, observer) => {
    if (!document.getElementById('progress')) return; // the elements before it are complete once it exists
    observer.disconnect();
    const position = document.getElementById('position');
    const lowest = lowestShown(document.body.dataset);
    if (!(lowest < Number(position.textContent.replace(/\D/g, '')))) return;
    position.textContent = new Intl.NumberFormat(document.documentElement.lang).format(lowest);
    document.getElementById('ahead').textContent = '\u00a0'; // wait.js writes the sentence
  };
  new MutationObserver(correct).observe(document, { childList: true, subtree: true });
})();
