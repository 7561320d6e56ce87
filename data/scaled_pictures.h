// ScaledPictures: pictures of any shape, each with the same short side: what picture files become
// when they are resized, and what a packed data set holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/resize.h"

namespace nat::data {

class ScaledPictures : public Dataset {
 public:
  PictureShape extent(std::int32_t id) const override;
  void read_window(std::int32_t id, int left, int top, std::uint8_t* out) const override;
  void read_whole(std::int32_t id, std::uint8_t* out) const override;

 protected:
  // catalog.files says how large the pictures are before resizing; the stored ones have the short
  // side of catalog.shape, a square. `quarantined`: good when the run began, grey since.
  ScaledPictures(Catalog catalog, std::vector<BadPicture> bad,
                 const std::vector<Quarantined>& quarantined, double max_bad_percent);

  PictureSize file_size(std::int32_t id) const;  // before resizing; zeros of a bad picture

  // Copies a window of a good picture into out (height, width, 3). Error{data} with the reason
  // alone when it turns out to be bad: it is quarantined then.
  virtual void load(std::int32_t id, const Window& window, std::uint8_t* out) const = 0;

 private:
  void load_or_quarantine(std::int32_t id, const Window& window, std::uint8_t* out) const;

  double max_bad_percent_;
};

// Keeps the pictures that `--limit` leaves (evenly_spaced): their paths, labels, flags and files,
// as far as there are any. Returns their positions among all.
std::vector<std::int64_t> keep_limited(Catalog& catalog, std::int64_t limit);

// A run goes on with the data that it began with: what became of a quarantined file since then is
// no change of them.
void recall(const std::vector<Quarantined>& quarantined, std::vector<PictureFile>& files);

// Catalog::content of pictures in files, from names and files.
std::uint64_t content_hash(const Catalog& catalog);

}  // namespace nat::data
