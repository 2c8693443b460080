using System.Globalization;

namespace StreamsHost.Commands;

/// <summary>A progress bar on standard error; nothing if that is not a terminal.</summary>
internal sealed class ProgressBar : IDisposable
{
    private const int Width = 30;

    private readonly Timer? _timer;
    private readonly Lock _gate = new();
    private bool _ended;

    /// <param name="look">How much is done, from 0 to 1, and how many answers have come.</param>
    public ProgressBar(Func<(double Done, long Answers)> look)
    {
        if (!Console.IsErrorRedirected)
        {
            _timer = new Timer(_ => Draw(look()), null, TimeSpan.Zero, TimeSpan.FromMilliseconds(250));
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _ended = true;
            if (_timer is not null)
            {
                Console.Error.Write('\r' + new string(' ', Width + 40) + '\r');
            }
        }

        _timer?.Dispose();
    }

    private void Draw((double Done, long Answers) state)
    {
        double done = Math.Clamp(state.Done, 0, 1);
        int full = (int)(done * Width);
        lock (_gate)
        {
            if (!_ended)
            {
                Console.Error.Write(string.Create(
                    CultureInfo.InvariantCulture, $"\r[{new string('#', full)}{new string('.', Width - full)}] {done,4:P0} {state.Answers,15:N0} answers"));
            }
        }
    }
}
