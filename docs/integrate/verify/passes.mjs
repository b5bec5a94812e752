// SPDX-License-Identifier: MIT
//
// Node.js: is this the pass of a buyer whose turn it is? Needs `jose` (npm install jose).
//
//   const buyerOf = passes('https://tickets.example.com/.well-known/jwks.json', 'summer-2030');
//   const buyer = await buyerOf(cookies['__Host-tiketi_pass_summer-2030']);   // { id, expires } or null

import { createRemoteJWKSet, errors, jwtVerify } from 'jose';

// The keys are kept for ten minutes; a name that is not among them is asked for once in 30 seconds.
export function passes(url, event) {
  const keys = createRemoteJWKSet(new URL(url), { cacheMaxAge: 600_000, cooldownDuration: 30_000, timeoutDuration: 3_000 });
  const wanted = { algorithms: ['ES256'], issuer: 'tiketi', audience: event, requiredClaims: ['sub', 'exp'] };
  // Throws while the keys cannot be fetched: answer 503 then, and let nobody in.
  return async (token) => {
    try {
      const { payload } = await jwtVerify(token ?? '', keys, wanted);
      return { id: payload.sub, expires: payload.exp };
    } catch (error) {
      if (error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError) || error.code === 'ERR_JOSE_GENERIC') throw error;
      return null;
    }
  };
}
