/** The measures of each task, added up record by record in double precision. */
import type { Metrics } from "../protocol/types.ts";
import type { Shape } from "./step.ts";

type Numbers = Float32Array | Int32Array;

export interface Measure {
  /**
   * @param scores as the model gives them
   * @param label of one record, as in Batch.y
   * @param round that the record came with
   */
  add(scores: Float32Array, label: Numbers, round: number): void;
  /** Of all that was added, at least one record. What can't be told of these records is not finite. */
  metrics(): Metrics;
}

export function measureOf(shape: Shape): Measure {
  if (shape.task === "regression") return regression(shape);
  return shape.task === "multi-label" ? multiLabel(shape) : classification(shape);
}

/** A mean over all records, and of each round's own. */
class Mean {
  readonly #name: string;
  readonly #all = { sum: 0, records: 0 };
  readonly #rounds = new Map<number, { sum: number; records: number }>();

  constructor(name: string) {
    this.#name = name;
  }

  add(value: number, round: number): void {
    const own = this.#rounds.get(round) ?? { sum: 0, records: 0 };
    this.#rounds.set(round, own);
    for (const sums of [this.#all, own]) {
      sums.sum += value;
      sums.records++;
    }
  }

  get value(): number {
    return this.#all.sum / this.#all.records;
  }

  ofRounds(): Metrics {
    return Object.fromEntries(
      [...this.#rounds].map(([round, { sum, records }]) => [`${this.#name}.round${round}`, sum / records]),
    );
  }
}

/** For each class how often it was right (hits), said wrongly, and missed. */
class Confusions {
  readonly #hits: Float64Array;
  readonly #wrong: Float64Array;
  readonly #missed: Float64Array;

  constructor(classes: number) {
    [this.#hits, this.#wrong, this.#missed] = [
      new Float64Array(classes),
      new Float64Array(classes),
      new Float64Array(classes),
    ];
  }

  add(ofClass: number, said: boolean, is: boolean): void {
    if (said && is) this.#hits[ofClass]!++;
    else if (said) this.#wrong[ofClass]!++;
    else if (is) this.#missed[ofClass]!++;
  }

  /**
   * F1 = 2 hits / (2 hits + wrong + missed). macro: the mean over the classes that a record has or was said to have; micro: of all
   * classes' counts together. As scikit-learn's f1_score. NaN if there is no such class.
   */
  f1(): { macro: number; micro: number } {
    let [sum, classes, hits, all] = [0, 0, 0, 0];
    this.#hits.forEach((own, i) => {
      const twice = 2 * own + this.#wrong[i]! + this.#missed[i]!;
      if (twice === 0) return;
      sum += (2 * own) / twice;
      classes++;
      hits += 2 * own;
      all += twice;
    });
    return { macro: sum / classes, micro: hits / all };
  }
}

/** loss: mean cross-entropy; accuracy: part of the records whose class has the highest score; f1: macro. */
function classification({ classes }: Shape): Measure {
  let [loss, records] = [0, 0];
  const accuracy = new Mean("accuracy");
  const confusions = new Confusions(classes);
  return {
    add(scores, [label], round) {
      let best = 0;
      for (let c = 1; c < classes; c++) if (scores[c]! > scores[best]!) best = c;
      const peak = scores[best]!;
      let sum = 0;
      for (let c = 0; c < classes; c++) sum += Math.exp(scores[c]! - peak);
      loss += Math.log(sum) + peak - scores[label!]!;
      records++;
      accuracy.add(best === label ? 1 : 0, round);
      confusions.add(best, true, best === label);
      if (best !== label) confusions.add(label!, false, true);
    },
    metrics: () => ({
      loss: loss / records,
      accuracy: accuracy.value,
      f1: confusions.f1().macro,
      ...accuracy.ofRounds(),
    }),
  };
}

/**
 * A class is said of a record if its score is above 0 (sigmoid above 1/2). loss: mean binary cross-entropy over records and classes;
 * accuracy: part of the records with no class wrong; f1: macro, f1Micro: micro.
 */
function multiLabel({ classes }: Shape): Measure {
  let [loss, records] = [0, 0];
  const accuracy = new Mean("accuracy");
  const confusions = new Confusions(classes);
  return {
    add(scores, label, round) {
      let right = true;
      for (let c = 0; c < classes; c++) {
        const [score, is] = [scores[c]!, label[c] === 1];
        loss += Math.max(score, 0) - (is ? score : 0) + Math.log1p(Math.exp(-Math.abs(score)));
        confusions.add(c, score > 0, is);
        right &&= score > 0 === is;
      }
      records++;
      accuracy.add(right ? 1 : 0, round);
    },
    metrics() {
      const { macro, micro } = confusions.f1();
      return {
        loss: loss / (records * classes),
        accuracy: accuracy.value,
        f1: macro,
        f1Micro: micro,
        ...accuracy.ofRounds(),
      };
    },
  };
}

/** mse, mae; loss: the one trained with; r2 = 1 - mse / variance of the values: 1 is perfect, 0 is no better than their mean. */
function regression({ loss: name }: Shape): Measure {
  const squares = new Mean("mse");
  let [absolute, huber, records, mean, spread] = [0, 0, 0, 0, 0];
  return {
    add([score], [value], round) {
      const error = score! - value!;
      const size = Math.abs(error);
      squares.add(error * error, round);
      absolute += size;
      huber += size <= 1 ? (error * error) / 2 : size - 0.5;
      records++;
      // Welford 1962: the sum of squares around a mean that is not known yet
      const from = value! - mean;
      mean += from / records;
      spread += from * (value! - mean);
    },
    metrics() {
      const [mse, mae] = [squares.value, absolute / records];
      const loss = name === "mae" ? mae : name === "huber" ? huber / records : mse;
      return { loss, mse, mae, r2: 1 - mse / (spread / records), ...squares.ofRounds() };
    },
  };
}
