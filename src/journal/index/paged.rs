//! A list that grows and shrinks page by page: growing copies no element, and an empty page is freed.

/// Elements in a page.
const PAGE: usize = 2048;

#[derive(Debug)]
pub(in crate::journal) struct Paged<T> {
    pages: Vec<Vec<T>>,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T> Paged<T> {
    pub(in crate::journal) fn len(&self) -> usize {
        let full = self.pages.len().saturating_sub(1) * PAGE;
        full + self.pages.last().map_or(0, Vec::len)
    }

    pub(in crate::journal) fn get(&self, at: u32) -> Option<&T> {
        let at = usize::try_from(at).ok()?;
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    pub(in crate::journal) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let at = usize::try_from(at).ok()?;
        self.pages.get_mut(at / PAGE)?.get_mut(at % PAGE)
    }

    pub(in crate::journal) fn push(&mut self, element: T) {
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(element);
        }
    }

    pub(in crate::journal) fn pop(&mut self) -> Option<T> {
        let page = self.pages.last_mut()?;
        let element = page.pop();
        if page.is_empty() {
            self.pages.pop();
        }
        // The list of pages itself takes eight bytes for each page of its largest extent.
        if self.pages.len() * 4 < self.pages.capacity() {
            self.pages.shrink_to(self.pages.len() * 2);
        }
        element
    }

    #[cfg(test)]
    pub(in crate::journal) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten()
    }

    /// Bytes of memory that it takes, or took for a moment when the list of pages grew.
    pub(in crate::journal) fn bytes(&self) -> usize {
        let lists = self.pages.capacity() * size_of::<Vec<T>>();
        self.pages.len() * PAGE * size_of::<T>() + lists + lists / 2
    }
}
