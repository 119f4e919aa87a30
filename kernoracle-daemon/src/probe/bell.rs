//! What the reader sleeps on.

use super::{error::ProbeError, maps::take};
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use std::{os::fd::AsFd, time::Duration};

/// A ring of the kernel's, by which the programs wake the reader.
pub struct Bell {
    bell: RingBuf<MapData>,
    epoll: Epoll,
}

impl Bell {
    /// `also`: another ring that ends the sleep.
    pub fn new(ebpf: &mut Ebpf, also: impl AsFd) -> Result<Self, ProbeError> {
        let bell: RingBuf<MapData> = take(ebpf, "BELL")?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(wait_error)?;
        // Edge-triggered: only a wake-up that a program has forced is an edge.
        let edge = || EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0);
        epoll.add(&bell, edge()).map_err(wait_error)?;
        epoll.add(also, edge()).map_err(wait_error)?;
        Ok(Self { bell, epoll })
    }

    /// Sleeps until a program wakes the reader, `timeout` is over or a signal comes.
    pub fn wait(&mut self, timeout: Duration) -> Result<(), ProbeError> {
        let timeout = timeout.as_micros().div_ceil(1000);
        let timeout =
            u16::try_from(timeout).map_or(EpollTimeout::from(u16::MAX), EpollTimeout::from);
        let woken = self.epoll.wait(&mut [EpollEvent::empty(); 2], timeout);
        // What makes it ring also fills it.
        while self.bell.next().is_some() {}
        match woken {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(wait_error(errno)),
        }
    }
}

fn wait_error(errno: Errno) -> ProbeError {
    ProbeError::Wait {
        source: errno.into(),
    }
}
