import { expect, test } from 'vitest'
import { sortDeclarations } from './api.ts'

test('neither comments nor the order of declarations make a difference', () => {
  const text = `import { B, C } from "b";
/** Explained. */
export declare function draw(b: B): void;
interface Canvas {
  /** Its name. */
  readonly name: string;

  readonly size?: number;
}
export type { Canvas };
`
  const sorted = `import {
  B,
  C,
} from "b";

interface Canvas {
  readonly name: string;
  readonly size?: number;
}

export declare function draw(b: B): void;

export type {
  Canvas,
};
`
  expect(sortDeclarations(text)).toBe(sorted)
  expect(sortDeclarations(sorted)).toBe(sorted)
})
