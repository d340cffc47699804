/** Whether what `trainer` asks for fits what `data` is: what no schema of one part alone can say. */
import type { DataConfig, Task } from "./data-config.ts";
import { holdoutRule } from "./holdout-part.ts";
import type { LossName, TrainerConfig } from "./trainer-config.ts";

/** The losses of each task; the first if nothing else is said. */
const LOSSES: Readonly<Record<Task, readonly [LossName, ...LossName[]]>> = {
  classification: ["cross-entropy"],
  "multi-label": ["binary-cross-entropy"],
  regression: ["mse", "mae", "huber"],
};

/** The loss to train with: the configured one, or the task's first. */
export function lossOfTask(task: Task, { loss }: Pick<TrainerConfig, "loss">): LossName {
  return loss ?? LOSSES[task][0];
}

/** @returns what is wrong, with the name of the setting; undefined: nothing */
export function taskFault({ task, holdout, labels }: DataConfig, trainer: TrainerConfig): string | undefined {
  const { loss, labelSmoothing, classWeights, earlyStopping, optimizer, weightDecay } = trainer;
  if (loss !== null && !LOSSES[task].includes(loss))
    return `trainer.loss: "${loss}" is no loss of ${task}: one of ${LOSSES[task].join(", ")}`;
  if (task === "regression" && labelSmoothing > 0)
    return "trainer.labelSmoothing: values have no classes to spread over: 0 for regression";
  if (task === "regression" && classWeights !== null)
    return "trainer.classWeights: values have no classes: null for regression";
  if (optimizer.name === "adamw" && weightDecay > 0)
    return "trainer.weightDecay: adamw has a decay of its own: set trainer.optimizer.weightDecay";
  if (earlyStopping !== null && holdoutRule(holdout) === null)
    return "trainer.earlyStopping: there is no loss to go by with data.holdout: 0; set it above 0";
  return labels === null ? undefined : classWeightsFault(trainer, labels);
}

/** @param classes all there are, once they are known */
export function classWeightsFault(
  { classWeights }: Pick<TrainerConfig, "classWeights">,
  classes: readonly string[],
): string | undefined {
  if (classWeights === null || classWeights === "balanced") return undefined;
  const unknown = Object.keys(classWeights).find((name) => !classes.includes(name));
  if (unknown === undefined) return undefined;
  const some = classes.slice(0, 10).join(", ") + (classes.length > 10 ? " ..." : "");
  return `trainer.classWeights: "${unknown}" is none of the classes ${some}`;
}
