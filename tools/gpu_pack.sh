# Of tools/gpu-check, which sources it: what a machine with a GPU is given that cannot fetch anything.
# shellcheck shell=bash
# The variables are gpu-check's.
# shellcheck disable=SC2154

# ---- pack ---------------------------------------------------------------------------------------

packages=(doctest-dev libcli11-dev nlohmann-json3-dev libtomlplusplus-dev libstb-dev zlib1g-dev
          libdnnl-dev libdnnl2 ocl-icd-libopencl1 libtomlplusplus3)

# The files of one package, without its documents. Links to files of other packages are left out.
# Who is called behind || must look at every failure: there bash goes on after one (set -e).
pack_package() {
  local file files
  files=$(dpkg-query -L "$1") || return
  while read -r file; do
    case "$file" in
      */share/doc/* | */share/man/* | */pkgconfig/* | */libstb.a) continue ;;
    esac
    if [ -f "$file" ]; then
      case "$(readlink -f "$file")" in
        */libz.so.*) continue ;;  # the static library is enough, and fits any machine
      esac
      install -D -d "$deps$(dirname "$file")" || return
      cp -P "$file" "$deps$file" || return
    fi
  done <<< "$files"
}

piece_pack() {
  local package installed limit_kib=$((60 * 1024)) size_kib
  command -v dpkg-query > /dev/null || { say "pack: no dpkg here; run it on Debian"; return 1; }
  rm -rf "$deps"
  for package in "${packages[@]}"; do
    installed=$(installed_package "$package")
    if [ -z "$installed" ]; then
      say "pack: $package is not installed"
      return 1
    fi
    pack_package "$installed" || return
  done
  find "$deps" -xtype l -delete  # links into packages that are not needed
  # doctest's package file names the folder where Debian has put it.
  sed -i "s|^set(_IMPORT_PREFIX \"/usr\")|set(_IMPORT_PREFIX \"\${CMAKE_CURRENT_LIST_DIR}/../../..\")|" \
    "$deps/usr/lib/cmake/doctest/doctestTargets.cmake"
  size_kib=$(du -sk "$deps" | cut -f1)
  say "pack: .deps holds $((size_kib / 1024)) MiB of ${#packages[@]} packages"
  [ "$size_kib" -lt "$limit_kib" ] || { say "pack: more than 60 MiB"; return 1; }
}

# ---- ship ---------------------------------------------------------------------------------------

# Programs without their symbols, and the carried libraries that they need, by way of a folder.
pack_programs() {
  local program
  mkdir "$1/bin" "$1/lib" || return
  for program in "$bin"/*; do strip -o "$1/bin/$(basename "$program")" "$program" || return; done
  cp -P "$deps"/usr/lib/x86_64-linux-gnu/lib{dnnl,OpenCL,tomlplusplus}.so* "$1/lib" || return
  XZ_OPT='-3 -T0' tar -C "$1" -cJf "$shipped.tmp" bin lib || return
  mv "$shipped.tmp" "$shipped"
}

piece_ship() {
  local staging status=0
  require_build ship || return
  staging=$(mktemp -d) || return
  pack_programs "$staging" || status=$?
  rm -rf "$staging"
  [ "$status" -eq 0 ] || return "$status"
  say "ship: ${shipped#"$root"/} holds $(($(stat -c %s "$shipped") >> 20)) MiB"
}

# Programs that were built elsewhere, where nothing was built here.
unpack_shipped() {
  if [ -e "$shipped" ] && [ ! -x "$bin/nat" ]; then
    mkdir -p "$build"
    tar -xJf "$shipped" -C "$build"
  fi
}
is_shipped() { [ -d "$build/lib" ]; }

# The libraries lie in other places here than where the programs were linked.
find_libraries_of_shipped() {
  local toolkit cudnn cublaslt
  toolkit=$(find_toolkit)
  cudnn=$(find_cudnn "$toolkit")
  cublaslt=$(find_cublaslt "$toolkit")
  export LD_LIBRARY_PATH=$build/lib:${cudnn:+$cudnn/lib:}${cublaslt:+$(dirname "$cublaslt"):}
  LD_LIBRARY_PATH+=$toolkit/lib64:$toolkit/lib
}
