// TensorFlow's library writes two lines to stderr while it is loaded, before it looks at TF_CPP_MIN_LOG_LEVEL. Nothing but another stderr
// for that moment keeps them out of a job's log. mute() and unmute() are called around it, on the main thread.
#include <fcntl.h>
#include <node_api.h>
#include <unistd.h>

namespace {

int kept = -1;

napi_value Mute(napi_env, napi_callback_info) {
  if (kept != -1) return nullptr;
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere == -1) return nullptr;
  kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (kept != -1) dup2(nowhere, STDERR_FILENO);
  close(nowhere);
  return nullptr;
}

napi_value Unmute(napi_env, napi_callback_info) {
  if (kept == -1) return nullptr;
  dup2(kept, STDERR_FILENO);
  close(kept);
  kept = -1;
  return nullptr;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value mute, unmute;
  if (napi_create_function(env, "mute", NAPI_AUTO_LENGTH, Mute, nullptr, &mute) == napi_ok)
    napi_set_named_property(env, exports, "mute", mute);
  if (napi_create_function(env, "unmute", NAPI_AUTO_LENGTH, Unmute, nullptr, &unmute) == napi_ok)
    napi_set_named_property(env, exports, "unmute", unmute);
  return exports;
}
