// SPDX-License-Identifier: MIT
//
// All faults, by name: family.kind. A fault is
//
//   weight       how often it is drawn, beside the others
//   once         at most once in a schedule
//   backends     only with these kinds of Redis
//   needs        what the machine must allow: 'mount'; elsewhere the fault is left out, and told
//   draw(roll)   what it is given, beside time and duration: everything that is random is drawn here
//   lasts(roll)  ms
//   hurts(given) the things that it hurts: names of pods (pod:0), links (link:redis:0), backends, provider
//   loses        of Redis' data: 'all', or the last 'writes'
//   replaces     another Redis serves the event afterwards, at the latest when begin() has returned
//   begin(world, given), end(world, given)
//                end() returns when everything is back as it was

import { clock } from './clock.mjs';
import { descriptors } from './descriptors.mjs';
import { network } from './network.mjs';
import { postgres } from './postgres.mjs';
import { process } from './process.mjs';
import { provider } from './provider.mjs';
import { redis } from './redis.mjs';

export const FAULTS = Object.fromEntries(Object.entries({ process, redis, postgres, network, clock, descriptors, provider })
  .flatMap(([family, kinds]) => Object.entries(kinds).map(([kind, fault]) => [`${family}.${kind}`, fault])));
