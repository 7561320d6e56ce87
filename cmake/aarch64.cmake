# 64-bit ARM from a Debian machine of another kind, for the preset aarch64. It needs
#
#   dpkg --add-architecture arm64 && apt-get update
#   apt-get install g++-aarch64-linux-gnu qemu-user-static zlib1g-dev:arm64 libtomlplusplus-dev:arm64
#
# The tests start nat themselves, so the kernel must know who runs such programs (binfmt_misc, which
# qemu-user-static sets up where systemd runs).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
