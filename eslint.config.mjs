// SPDX-License-Identifier: MIT
//
// What ESLint checks: the scripts of the pages, with types, so that a promise that nobody awaits is found; and the
// tests, without. Layout is no rule's business. `make lint` runs it; each release named in package.json runs on Node 18.

import js from '@eslint/js';
import globals from 'globals';
import typescript from 'typescript-eslint';

const rules = {
  eqeqeq: ['error', 'always', { null: 'ignore' }],
  'no-console': 'error',
  'no-unused-vars': ['error', { args: 'after-used', argsIgnorePattern: '^_', caughtErrors: 'none', ignoreRestSiblings: true }],
  'no-var': 'error',
  'object-shorthand': 'error',
  'prefer-const': ['error', { destructuring: 'all' }],
};

export default [
  { ignores: ['build/', 'node_modules/', '.run/'] },
  js.configs.recommended,
  { rules, linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['web/**/*.js'],
    languageOptions: {
      globals: globals.browser,
      parser: typescript.parser,
      parserOptions: { project: 'test/lint/tsconfig.json', tsconfigRootDir: new URL('.', import.meta.url).pathname },
    },
    plugins: { typescript: typescript.plugin },
    rules: {
      'typescript/no-floating-promises': 'error',
      'typescript/no-misused-promises': ['error', { checksVoidReturn: { arguments: false, properties: false } }],
      'no-restricted-properties': ['error', ...['innerHTML', 'outerHTML', 'insertAdjacentHTML'].map((property) => ({
        property, message: 'Build elements: the pages require Trusted Types.',
      }))],
    },
  },
  { files: ['**/*.mjs', '**/*.cjs'], languageOptions: { globals: globals.node }, rules: { 'no-console': 'off' } },
  // What these evaluate runs in the page.
  { files: ['test/browser/*.mjs', 'test/fixtures/browser.mjs'], languageOptions: { globals: globals.browser } },
];
