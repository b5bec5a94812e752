// SPDX-License-Identifier: MIT
//
// Draws web/icon.svg as the pictures that browsers ask for beside it: favicon.ico, apple-touch-icon.png (iPhones put
// no ground behind it) and icon-512.png. To be run after a change of the icon: node test/browser/icons.mjs

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Browser } from '../fixtures/browser.mjs';

const web = fileURLToPath(new URL('../../web/', import.meta.url));
const svg = readFileSync(`${web}icon.svg`, 'utf8');
const browser = await Browser.start();

// `square`: its corners are filled, as phones cut the shape themselves.
async function draw(size, { square }) {
  const reader = await browser.reader({ width: size, height: size });
  await reader.page.setContent(`<style>*{margin:0} svg{display:block;width:${size}px;height:${size}px}</style>${square ? svg.replace(/ rx="\d+"/, '') : svg}`);
  const png = await reader.page.screenshot({ omitBackground: true });
  await reader.close();
  return png;
}

// An ICO file that holds one PNG.
function ico(png, size) {
  const head = Buffer.alloc(22);
  head.writeUInt16LE(1, 2); // an icon
  head.writeUInt16LE(1, 4); // one picture
  head.writeUInt8(size, 6);
  head.writeUInt8(size, 7);
  head.writeUInt16LE(1, 10);
  head.writeUInt16LE(32, 12); // bits per pixel
  head.writeUInt32LE(png.length, 14);
  head.writeUInt32LE(head.length, 18);
  return Buffer.concat([head, png]);
}

writeFileSync(`${web}favicon.ico`, ico(await draw(32, { square: false }), 32));
writeFileSync(`${web}apple-touch-icon.png`, await draw(180, { square: true }));
writeFileSync(`${web}icon-512.png`, await draw(512, { square: true }));
await browser.close();
