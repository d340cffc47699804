/**
 * Which wheels TensorFlow's library comes from. Nothing but a table: a new TensorFlow is a new TENSORFLOW in native-library.ts and new rows here
 * (docs/decisions/009-native-tensorflow.md says how they are found).
 */
import { TENSORFLOW } from "./native-library.ts";

export interface Wheel {
  /** what pip calls it */
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  /** bytes of the wheel */
  readonly size: number;
  /** bytes of what is kept of it */
  readonly kept: number;
}

export interface NativeBuild {
  /** process.platform-process.arch */
  readonly platform: string;
  readonly gpu: boolean;
  /** platforms as pip names them */
  readonly tags: readonly string[];
  readonly wheels: readonly Wheel[];
}

const wheel = (name: string, version: string, sha256: string, size: number, kept: number): Wheel => ({
  name,
  version,
  sha256,
  size,
  kept,
});

/**
 * The CUDA libraries that TensorFlow opens before it registers a GPU, and those that they open in turn: one of them missing, and it trains on the
 * processor. Not those for several GPUs (nccl), XLA (nvcc), profiling (cupti) and random numbers (curand).
 */
const CUDA: readonly Wheel[] = [
  wheel(
    "nvidia-cuda-runtime-cu12",
    "12.9.79",
    "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3",
    3_493_179,
    1e6,
  ),
  wheel(
    "nvidia-cublas-cu12",
    "12.9.3.13",
    "d7d51055f161b317c7105ddaae90e71eda059026074ffef93cf7cde2886bfe72",
    581_217_458,
    855e6,
  ),
  wheel(
    "nvidia-cufft-cu12",
    "11.4.1.4",
    "c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28",
    200_877_592,
    292e6,
  ),
  wheel(
    "nvidia-cusolver-cu12",
    "11.7.5.82",
    "15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88",
    338_117_415,
    303e6,
  ),
  wheel(
    "nvidia-cusparse-cu12",
    "12.5.10.65",
    "73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78",
    366_465_088,
    487e6,
  ),
  wheel(
    "nvidia-nvjitlink-cu12",
    "12.9.86",
    "e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9",
    39_748_338,
    96e6,
  ),
  wheel(
    "nvidia-cuda-nvrtc-cu12",
    "12.9.86",
    "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4",
    89_568_129,
    114e6,
  ),
  wheel(
    "nvidia-cudnn-cu12",
    "9.28.0.42",
    "9ff58b7f36dacd0a93e89f8f2957b52466889217963701daa15e577317cfa375",
    716_538_495,
    1163e6,
  ),
];

/** Of tensorflow's and nvidia's wheels for x64: each has one of them. */
const LINUX_X64 = ["manylinux_2_27_x86_64", "manylinux2014_x86_64", "manylinux_2_12_x86_64"];

export const BUILDS: readonly NativeBuild[] = [
  {
    platform: "linux-x64",
    gpu: false,
    tags: LINUX_X64,
    wheels: [
      wheel(
        "tensorflow-cpu",
        TENSORFLOW,
        "dcc8afd32930e42d5296b6ee19078b773706830af4ea97fbe503b9f5e0f820cb",
        274e6,
        853e6,
      ),
    ],
  },
  {
    platform: "linux-x64",
    gpu: true,
    tags: LINUX_X64,
    wheels: [
      wheel(
        "tensorflow",
        TENSORFLOW,
        "b3b95643c4e70eb925839938fb35cbe142f317ec84af6844ee61513713bb13c0",
        572_611_111,
        1258e6,
      ),
      ...CUDA,
    ],
  },
  {
    platform: "linux-arm64",
    gpu: false,
    tags: ["manylinux_2_27_aarch64"],
    wheels: [
      wheel(
        "tensorflow",
        TENSORFLOW,
        "b07d15737406533898e36c7ef7944b1be18e9028dc521b9229952c537bbc5552",
        281_946_471,
        882e6,
      ),
    ],
  },
  {
    platform: "darwin-arm64",
    gpu: false,
    tags: ["macosx_12_0_arm64"],
    wheels: [
      wheel(
        "tensorflow",
        TENSORFLOW,
        "56ecd7d47429acbe1df2694d50b75bf9fc3995ac92cb367cd9af6c4780ead712",
        223_488_205,
        740e6,
      ),
    ],
  },
];
