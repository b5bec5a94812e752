// SPDX-License-Identifier: MIT
//
// door_scanner: reads QR codes from the camera of a phone. Frames are scaled down before they are read: a code that fills a
// third of the view needs no more, and a cheap phone stays cool.

import jsQR from 'jsqr';

const EVERY_MS = 120;
const WIDTH = 640;

export class Scanner {
  #video;
  #canvas = document.createElement('canvas');
  #timer;
  #found;

  constructor(video, found) {
    this.#video = video;
    this.#found = found;
  }

  // Rejects with the browser's error: no permission, no camera, or no secure origin.
  async start() {
    if (!navigator.mediaDevices?.getUserMedia) throw new DOMException('no camera', 'NotFoundError');
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: 'environment', width: { ideal: 1280 } } });
    this.#video.srcObject = stream;
    await this.#video.play();
    this.#timer = setInterval(() => this.#look(), EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    for (const track of this.#video.srcObject?.getTracks() ?? []) track.stop();
    this.#video.srcObject = null;
  }

  #look() {
    const { videoWidth, videoHeight } = this.#video;
    if (!videoWidth || document.hidden) return;
    const scale = Math.min(1, WIDTH / videoWidth);
    this.#canvas.width = Math.round(videoWidth * scale);
    this.#canvas.height = Math.round(videoHeight * scale);
    const context = this.#canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(this.#video, 0, 0, this.#canvas.width, this.#canvas.height);
    const { data, width, height } = context.getImageData(0, 0, this.#canvas.width, this.#canvas.height);
    const code = jsQR(data, width, height, { inversionAttempts: 'attemptBoth' });
    if (code?.data) this.#found(code.data);
  }
}
