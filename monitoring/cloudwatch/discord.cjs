// SPDX-License-Identifier: MIT
//
// AWS Lambda: writes alarms of CloudWatch, which come by SNS, to a channel in Discord. DISCORD_URL is the webhook, a secret.
// generate.mjs puts this text into alarms.json, so it stays below 4,096 characters. An answer other than 2xx is an error: SNS tries again.

exports.handler = async ({ Records: records }) => {
  for (const { Sns: { Subject: subject, Message: message } } of records) {
    let alarm;
    try {
      alarm = JSON.parse(message);
    } catch {
      alarm = { AlarmName: subject || 'A message', AlarmDescription: message };
    }
    const fires = alarm.NewStateValue === 'ALARM';
    const answer = await fetch(process.env.DISCORD_URL, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        embeds: [{
          title: `[${fires ? process.env.SEVERITY : 'OVER'}] ${alarm.AlarmName}`.slice(0, 256),
          description: [alarm.AlarmDescription, fires && alarm.NewStateReason].filter(Boolean).join('\n').slice(0, 2048),
          color: fires ? 0xb3412f : 0x2e7d32,
        }],
      }),
    });
    if (!answer.ok) throw new Error(`Discord answered ${answer.status}`);
  }
};
