import { expect, it } from "vitest";
import { missingForGpu, type Unopened } from "./gpu-libraries.ts";

const gone = (name: string, what = name): Unopened => ({
  name,
  why: `${what}: cannot open shared object file: No such file or directory`,
});

it.each<[unopened: Unopened[], why: RegExp | null]>([
  [[], null],
  [
    [gone("libcuda.so.1"), gone("libnvidia-ml.so.1"), gone("libcufft.so.11")],
    /^no NVIDIA driver: libcuda.so.1 can't be opened$/,
  ],
  [
    [gone("libnvidia-ml.so.1")],
    /^of the NVIDIA driver libnvidia-ml.so.1 can't be opened: in a container .*compute,utility$/,
  ],
  [
    [gone("libcufft.so.11")],
    /^TensorFlow skips the GPU without libcufft.so.11: libcufft.so.11: cannot open .*directory$/,
  ],
  // what needs it can't be opened either, and is not what is missing
  [
    [
      gone("libnvJitLink.so.12"),
      gone("libcusparse.so.12", "libnvJitLink.so.12"),
      gone("libcusolver.so.11", "libnvJitLink.so.12"),
    ],
    /^TensorFlow skips the GPU without libnvJitLink.so.12: /,
  ],
  [[gone("libcudnn_graph.so.9", "libz.so.1")], /^TensorFlow skips the GPU without libz.so.1: /],
  [
    [{ name: "libcudnn.so.9", why: "/a/libcudnn.so.9: file too short" }],
    /^TensorFlow skips the GPU without libcudnn.so.9: \/a\/libcudnn.so.9: file too short$/,
  ],
])("what can't be opened names what is missing (%#)", (unopened, why) => {
  if (why === null) expect(missingForGpu(unopened)).toBeNull();
  else expect(missingForGpu(unopened)).toMatch(why);
});
