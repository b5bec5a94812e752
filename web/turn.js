// SPDX-License-Identifier: MIT
//
// turn: for the pages of a shop behind the waiting room: shows how much time the buyer has, keeps their turn alive while
// the page is seen, and says when it has ended. A module of at most 1 KiB, without imports; docs/integrate/turn.md.
//
//   <script type="module" src="https://queue.example.com/turn.js?event=summer"></script>
//   <span data-tiketi-turn></span>                      <!-- 9:58; data-tiketi-turn becomes active or ended -->
//   <p data-tiketi-turn-ended hidden role="alert">…</p> <!-- is shown once the turn has ended -->
//   addEventListener('tiketi-turn', ({ detail: { status, left } }) => …)   // ms; each second
//
// A status is a heartbeat. A hidden page sends none, so that a forgotten tab keeps no slot. The time left is the server's: the
// clock of the device is not used.

const here = import.meta.url; // the service is where this file came from
const status = here.replace(/(assets\/\w+\/)?turn\.js.*/, 'api/queue/status/') + new URL(here).searchParams.get('event');
let end, next, ticking; // when the turn ends, by performance.now(); the timers

const all = (selector, change) => document.querySelectorAll(selector).forEach(change);

function say() {
  const left = Math.max(0, end - performance.now());
  const seconds = Math.ceil(left / 1000);
  const word = left ? 'active' : 'ended';
  all('[data-tiketi-turn]', (element) => {
    element.dataset.tiketiTurn = word;
    element.textContent = `${Math.floor(seconds / 60)}:${`${seconds % 60}`.padStart(2, '0')}`;
  });
  all('[data-tiketi-turn-ended]', (element) => {
    element.hidden = left > 0;
  });
  dispatchEvent(new CustomEvent('tiketi-turn', { detail: { status: word, left } }));
}

async function ask() {
  clearTimeout(next);
  if (document.visibilityState === 'hidden') return;
  let pause = 5000; // until the next try after no answer, or a 5xx or 429
  try {
    const answer = await fetch(status, { credentials: 'include' });
    if (answer.status < 429) {
      const turn = answer.ok ? await answer.json() : {};
      pause = turn.claimed && Math.min(turn.idleTimeoutMs / 3, 20000);
      end = pause ? performance.now() + Date.parse(turn.turnEndsAt) - turn.revision : 0;
      clearInterval(ticking);
      say();
      if (pause) ticking = setInterval(say, 1000);
    }
  } catch {
    // offline: the time goes on
  }
  clearTimeout(next);
  if (pause) next = setTimeout(ask, pause);
}

document.addEventListener('visibilitychange', ask);
void ask();
