// SPDX-License-Identifier: MIT
//
// wait_first: the position in the page as it is sent may be older, and so higher, than the one this browser
// was last shown by the socket (wait.js keeps it). It is put right before anything is painted; so this is no
// module: those are run when everything has been read, and may have been seen.

(() => {
  const lowest = ({ event, place }) => {
    try {
      const kept = JSON.parse(localStorage.getItem(`tiketi:place:${event}`));
      return place && kept?.place === place ? kept.lowest : Infinity;
    } catch {
      return Infinity; // no storage
    }
  };
  const correct = (_, observer) => {
    if (!document.getElementById('progress')) return; // what stands in front of it is complete when it is there
    observer.disconnect();
    const position = document.getElementById('position');
    const low = lowest(document.body.dataset);
    if (!(low < Number(position.textContent.replace(/\D/g, '')))) return;
    position.textContent = new Intl.NumberFormat(document.documentElement.lang).format(low);
    document.getElementById('ahead').textContent = '\u00a0'; // wait.js has the words for it
  };
  new MutationObserver(correct).observe(document, { childList: true, subtree: true });
})();
