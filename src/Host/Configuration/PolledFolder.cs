using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Primitives;

namespace StreamsHost.Configuration;

/// <summary>
/// A folder whose file contents are compared every second, because mounts of Kubernetes and Docker raise no events. The framework's polling
/// detects a change after up to eight seconds: its interval is four seconds, and it skips the first poll after a token was created.
/// </summary>
/// <param name="files">Reads the folder.</param>
/// <param name="time">The clock.</param>
internal sealed class PolledFolder(PhysicalFileProvider files, TimeProvider time) : IFileProvider
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private TimeProvider Time => time;

    /// <summary>Receives the exception of a callback, such as an unreadable file: on the timer's thread it would end the process.</summary>
    public Action<Exception>? Failed { get; set; }

    public IDirectoryContents GetDirectoryContents(string subpath) => files.GetDirectoryContents(subpath);

    public IFileInfo GetFileInfo(string subpath) => files.GetFileInfo(subpath);

    /// <param name="filter">The name of a file, or <c>*</c> for all.</param>
    public IChangeToken Watch(string filter) => new ChangeToken(this, filter);

    /// <summary>A hash of the files. A file that cannot be read has a different hash.</summary>
    private byte[] Fingerprint(string filter)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        IEnumerable<IFileInfo> watched = filter == "*"
            ? files.GetDirectoryContents(string.Empty).Where(static file => !file.IsDirectory).OrderBy(static file => file.Name, StringComparer.Ordinal)
            : [files.GetFileInfo(filter)];
        foreach (IFileInfo file in watched)
        {
            hash.AppendData(SHA256.HashData(Encoding.UTF8.GetBytes(file.Name)));
            try
            {
                hash.AppendData(SHA256.HashData(File.ReadAllBytes(file.PhysicalPath ?? file.Name)));
            }
            catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
            {
                hash.AppendData(Encoding.UTF8.GetBytes(unreadable.GetType().Name));
            }
        }

        return hash.GetHashAndReset();
    }

    private sealed class ChangeToken(PolledFolder folder, string filter) : IChangeToken
    {
        private readonly byte[] _before = folder.Fingerprint(filter);

        public bool HasChanged => !folder.Fingerprint(filter).AsSpan().SequenceEqual(_before);

        public bool ActiveChangeCallbacks => true;

        public IDisposable RegisterChangeCallback(Action<object?> callback, object? state) => new Registration(folder, this, callback, state);
    }

    private sealed class Registration : IDisposable
    {
        private readonly PolledFolder _folder;
        private readonly ChangeToken _token;
        private readonly Action<object?> _callback;
        private readonly object? _state;
        private readonly ITimer _timer;
        private int _done;

        public Registration(PolledFolder folder, ChangeToken token, Action<object?> callback, object? state)
        {
            (_folder, _token, _callback, _state) = (folder, token, callback, state);
            _timer = folder.Time.CreateTimer(static registration => ((Registration)registration!).Look(), this, Period, Period);
        }

        public void Dispose()
        {
            Volatile.Write(ref _done, 1);
            _timer.Dispose();
        }

        private void Look()
        {
            if (Volatile.Read(ref _done) == 0 && _token.HasChanged && Interlocked.Exchange(ref _done, 1) == 0)
            {
                _timer.Dispose();
                try
                {
                    _callback(_state);
                }
                catch (Exception error)
                {
                    _folder.Failed?.Invoke(error);
                }
            }
        }
    }
}
