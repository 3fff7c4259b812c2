// Values for each dimension of an array.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <type_traits>

namespace simdrop {

// A std::vector of trivial values that keeps up to eight of them within itself: arrays with more
// dimensions are rare, and a call on a small one takes no longer than a few requests for memory.
template <class T>
class Dimensions {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using value_type = T;

  Dimensions() = default;
  explicit Dimensions(std::size_t n, const T& value = T{}) { assign(n, value); }
  Dimensions(std::initializer_list<T> values) { assign(values.begin(), values.end()); }
  Dimensions(const T* first, const T* last) { assign(first, last); }
  Dimensions(const Dimensions& other) { assign(other.begin(), other.end()); }
  Dimensions(Dimensions&& other) noexcept { take(other); }
  ~Dimensions() = default;
  Dimensions& operator=(const Dimensions& other) {
    if (this != &other) assign(other.begin(), other.end());
    return *this;
  }
  Dimensions& operator=(Dimensions&& other) noexcept {
    if (this != &other) take(other);
    return *this;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return values_; }
  T* end() { return values_ + size_; }
  const T* begin() const { return values_; }
  const T* end() const { return values_ + size_; }
  T* data() { return values_; }
  const T* data() const { return values_; }
  T& operator[](std::size_t d) { return values_[d]; }
  const T& operator[](std::size_t d) const { return values_[d]; }
  T& back() { return values_[size_ - 1]; }
  const T& back() const { return values_[size_ - 1]; }

  void clear() { size_ = 0; }
  void pop_back() { --size_; }
  void push_back(T value) {
    if (size_ == room_) grow(2 * room_);
    values_[size_++] = value;
  }
  void assign(std::size_t n, T value) {
    resize_to(n);
    std::fill_n(values_, n, value);
  }
  void assign(const T* first, const T* last) {
    resize_to(static_cast<std::size_t>(last - first));
    std::copy(first, last, values_);
  }

  friend bool operator==(const Dimensions& a, const Dimensions& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  static constexpr std::size_t kWithin = 8;

  void grow(std::size_t room) {
    auto more = std::make_unique_for_overwrite<T[]>(room);
    std::copy(begin(), end(), more.get());
    beyond_ = std::move(more);
    values_ = beyond_.get();
    room_ = room;
  }
  void resize_to(std::size_t n) {
    if (n > room_) grow(n);
    size_ = n;
  }
  void take(Dimensions& other) {
    size_ = other.size_;
    if (other.beyond_ != nullptr) {
      beyond_ = std::move(other.beyond_);
      values_ = beyond_.get();
      room_ = other.room_;
      other.values_ = other.within_;
      other.room_ = kWithin;
    } else {
      std::copy(other.begin(), other.end(), values_);
    }
    other.size_ = 0;
  }

  T within_[kWithin];
  T* values_ = within_;
  std::size_t size_ = 0, room_ = kWithin;
  std::unique_ptr<T[]> beyond_;
};

}  // namespace simdrop
