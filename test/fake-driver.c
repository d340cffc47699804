/*
 * A driver of NVIDIA's that claims to have one GPU: enough for TensorFlow to look for the libraries that it computes with, and no more. Compiled
 * as libcuda.so.1 and as libnvidia-ml.so.1. What is not known here answers with 0, "success".
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

int nvmlInit_v2(void) { return 0; }

int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 12090; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Fake", length); return 0; }
int cuDeviceGetPCIBusId(char *id, int length, int device) { strncpy(id, "0000:00:1e.0", length); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 16ull << 30; return 0; }
int cuDeviceComputeCapability(int *major, int *minor, int device) { *major = 8; *minor = 0; return 0; }
/* 75, 76: compute capability; 16: multiprocessors */
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 8 : attribute == 76 ? 0 : attribute == 16 ? 40 : 1024;
  return 0;
}
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 0; return 0; }
int cuDevicePrimaryCtxSetFlags_v2(int device, unsigned flags) { return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)1; return 2; } /* out of memory */
int cuCtxGetCurrent(void **context) { *context = 0; return 0; }
int cuCtxSetCurrent(void *context) { return 0; }
int cuGetErrorName(int error, const char **name) { *name = "fake"; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "fake"; return 0; }

static int succeed(void) { return 0; }

int cuGetProcAddress_v2(const char *symbol, void **address, int version, unsigned long flags, int *status) {
  char second[200];
  void *self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  void *found = self ? dlsym(self, symbol) : NULL;
  if (self && !found) {
    snprintf(second, sizeof second, "%s_v2", symbol);
    found = dlsym(self, second);
  }
  *address = found ? found : (void *)succeed;
  if (status) *status = 0;
  return 0;
}
int cuGetProcAddress(const char *symbol, void **address, int version, unsigned long flags) {
  return cuGetProcAddress_v2(symbol, address, version, flags, NULL);
}
int cuGetExportTable(const void **table, const void *id) {
  static void *entries[64];
  entries[0] = (void *)sizeof entries;
  for (int i = 1; i < 64; i++) entries[i] = (void *)succeed;
  *table = entries;
  return 0;
}
