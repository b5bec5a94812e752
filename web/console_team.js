// SPDX-License-Identifier: MIT
//
// console_team: who of the staff shares an event: invites by a link, takes invitations back, removes people. For owners.

import { $, element } from './dom.js';
import { confirm } from './console_dialog.js';
import { notice } from './console_notice.js';
import { ask, failure } from './console_request.js';
import { venueTimes } from './console_zone.js';
import { t } from './i18n.js';

const { dataset } = $('main');
const base = `/api/admin/events/${dataset.event}/staff`;
const times = venueTimes('short');
const timeText = (at) => times.format(Date.parse(at));

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    notice(failure(error), { kind: 'bad' });
  }
}

function button(key, name, run) {
  const made = element('button', { type: 'button', className: 'control danger', textContent: t(key), ariaLabel: `${t(key)}: ${name}` });
  made.addEventListener('click', () => void attempt(run));
  return made;
}

const row = (name, role, since, action) => element('tr', {}, [
  element('td', { className: 'name', dir: 'auto', textContent: name }), element('td', { textContent: t(`right_${role}`) }), element('td', { textContent: since }), element('td', {}, [action]),
]);

function memberRow({ subject, name, role, addedAt }) {
  return row(name, role, timeText(addedAt), button('people_team_remove', name, async () => {
    if (!await confirm({ title: t('people_ask_remove', { name }), lead: t('people_ask_remove_lead'), yes: t('people_team_remove'), danger: true })) return;
    await ask('DELETE', `${base}/${encodeURIComponent(subject)}`);
    notice(t('people_done_remove', { name }));
    await draw();
  }));
}

function invitationRow({ id, name, role, expiresAt }) {
  return row(name, role, t('people_team_open', { time: timeText(expiresAt) }), button('people_team_withdraw', name, async () => {
    await ask('DELETE', `${base}/invitations/${id}`);
    notice(t('people_done_withdraw', { name }));
    await draw();
  }));
}

async function draw() {
  const { staff, invitations } = await ask('GET', base);
  $('team').replaceChildren(...staff.map(memberRow), ...invitations.map(invitationRow));
}

// Shows the panel, if this person may change the team.
export function startTeam() {
  const panel = $('team_panel');
  if (!panel) return;
  const form = $('invite');
  form.addEventListener('submit', (submit) => {
    submit.preventDefault();
    void attempt(async () => {
      const made = await ask('POST', `${base}/invitations`, { json: { role: form.elements.role.value, name: form.elements.name.value.trim() } });
      $('invitation').hidden = false;
      $('invitation_text').textContent = t('people_team_link', { name: made.name, time: timeText(made.expiresAt) });
      $('invitation_url').value = made.url;
      $('invitation_url').select();
      form.reset();
      await draw();
    });
  });
  void attempt(draw);
}
