/** Values that several parts of the config are made of. */
import * as z from "zod/mini";

export const Fraction = z.number().check(z.gte(0), z.lte(1));
export const Positive = z.number().check(z.positive());
export const AtLeast1 = z.int().check(z.gte(1));
export const Name = z.string().check(z.minLength(1), z.maxLength(256));
