// SPDX-License-Identifier: MIT
//
// The pages of signing in, for pictures: each scene opens one.

import { IdentityProvider, Postgres, Redis, Server, oidcSettings, runTiketi } from '../fixtures/index.mjs';

export async function gate() {
  const [redis, postgres, provider] = await Promise.all([Redis.start(), Postgres.start(), IdentityProvider.create()]);
  const server = await Server.start({ redis, database: await postgres.migrated(), env: oidcSettings(provider) });
  await provider.serve(server.url);
  return {
    server, provider,
    async stop() {
      for (const one of [server, postgres, redis]) await one.stop();
      await provider.down();
    },
  };
}

const enter = async ({ server }, name) => (await runTiketi(['console-link', '--url', server.url, '--name', name])).stdout.trim();

export const signInScenes = [
  ['needed', async ({ server }, reader) => {
    reader.expects(/status of 401/);
    await reader.open(`${server.url}/console`);
  }],
  ['link', async (world, reader) => {
    await reader.open(await enter(world, 'Kim Minji'));
  }],
  ['wrong', async ({ server }, reader) => {
    reader.expects(/status of 400/);
    await reader.open(`${server.url}/console/enter?link=cut`);
  }],
  ['down', async ({ server, provider }, reader) => {
    reader.expects(/status of 503/);
    await provider.down();
    await reader.open(`${server.url}/console/sign-in`);
    return () => provider.up();
  }],
];
